"""The first images of an evaluation as they were when an attack broke them, at every radius."""

from collections.abc import Sequence

import torch
from torch import Tensor

from robench.data.load import Images
from robench.evaluation.examples import Examples
from robench.keeping import State


class Fallen:
    """What is seen while attacks run stays on the device until the end of a chunk.

    Then all of it goes to the CPU at once, as an entry of the journal.
    """

    def __init__(self, images: Images, first: int) -> None:
        self._first, self._images = first, images.first(first)
        self._natural: list[Tensor] = []
        self._now: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._found: list[State] = []

    def __bool__(self) -> bool:
        """Whether there is anything to keep."""
        return len(self._images) > 0

    def natural(self, part: Tensor, labels: Tensor) -> State:
        """What some images, (K,) ascending positions, are taken for unattacked."""
        return {"labels": labels[part < len(self._images)].cpu()} if self else {}

    def look(self, entry: State) -> None:
        """What ``natural`` said, the images' parts in order."""
        if self:
            self._natural.append(entry["labels"])

    def note(self, at: int, part: Tensor, x_adv: Tensor, labels: Tensor) -> None:
        """Images, (K,) positions, that have just fallen at the radius with this number."""
        few = part < len(self._images)
        shown = part[few]
        self._now.append((torch.full_like(shown, at), shown, labels[few], x_adv[few]))

    def taken(self) -> State:
        """All of a chunk, on the CPU."""
        if not self._now:
            return {}
        parts = [torch.cat(part).cpu() for part in zip(*self._now, strict=True)]
        self._now = []
        return {"fell": dict(zip(("at", "position", "labels", "x"), parts, strict=True))}

    def learn(self, entry: State) -> None:
        """What ``taken`` said, now or in the process that was here before."""
        if "fell" in entry:
            self._found.append(entry["fell"])

    def examples(self, at: int, fallen: Tensor, names: Sequence[str]) -> Examples | None:
        """Those of a radius, where ``fallen``, (N,), has the number of what broke each image."""
        if not self:
            return None
        position, labels, x = (
            torch.cat([empty, *(entry[name][entry["at"] == at] for entry in self._found)])
            for name, empty in self._nothing().items()
        )
        order = position.argsort()
        position = position[order]
        return Examples(
            clean=self._images.x().cpu().numpy(),
            y=self._images.y.cpu().numpy(),
            natural=torch.cat(self._natural).numpy(),
            position=position.numpy(),
            adversarial=x[order].numpy(),
            labels=labels[order].numpy(),
            attack=fallen.cpu()[position].numpy(),
            attacks=tuple(names),
            first=self._first,
        )

    def _nothing(self) -> State:
        none = torch.zeros(0, dtype=torch.long)
        return {"position": none, "labels": none, "x": self._images.x(slice(0)).cpu()}
