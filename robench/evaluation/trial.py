"""What is known of every image at every radius while a suite runs, and what each attack cost."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, labelled
from robench.data.load import Images
from robench.errors import AttackError
from robench.evaluation.cost import Cost, spending
from robench.evaluation.fallen import Fallen
from robench.evaluation.journal import Journal
from robench.keeping import State
from robench.models.passes import Passes
from robench.seeds import derive, seeded
from robench.threat import Threat

CHUNK = 250
"""Images attacked at once. What an attack draws depends on it, so it is part of the protocol."""

After = Callable[[str, int, int | None, int, int], None]
"""Called after each chunk: the attack's name, the number of the radius, how many images stand
there (None for what is no attack), how many of its images were seen, and how many these are."""


@dataclass
class Level:
    """One radius."""

    threat: Threat
    fallen: Tensor
    """Number of the attack that broke each image, (N,); -1: none."""
    carried: Tensor
    """Images, (N,), whose verdict comes from another radius."""
    costs: dict[str, Cost] = field(default_factory=dict)

    def stands(self) -> Tensor:
        """Images, (N,), that nothing has broken; those that were wrong to begin with too."""
        return self.fallen < 0


class Trial:
    """A model and its images, at radii in ascending order."""

    def __init__(
        self,
        model: nn.Module,
        fast: nn.Module,
        images: Images,
        threats: Sequence[Threat],
        passes: list[Passes],
        *,
        looks: int,
        carries: bool,
        seed: int,
        after: After,
        journal: Journal,
    ) -> None:
        self.model, self.fast, self.images = model, fast, images
        self.looks, self.carries = looks, carries
        self.seed, self.after, self._passes = seed, after, passes
        self._journal = journal
        self._marks: list[tuple[int, bool, Tensor]] = []
        """What the present chunk has shown: radius, whether it is carried, and images."""
        self._seen = 0
        none = torch.full_like(images.y, -1)
        self.levels = [Level(t, none.clone(), none > 0) for t in threats]
        self.natural = none > 0
        self.shown = Fallen(images, journal.first)
        self.chunk = CHUNK
        """Fewer once memory has run out."""

    def look(self) -> None:
        """Which images are right to begin with; the cost goes to the first radius."""
        every, spent = torch.arange(len(self.images), device=self.natural.device), Cost()
        for part in every.split(CHUNK):
            entry = self._journal.next() or self._journal.add(self._looked(part))
            self.natural[part] = entry["right"].to(part.device)
            self.shown.look(entry)
            self._seen, spent = entry["seen"], spent + Cost(*entry["cost"])
            seen = int(part[-1]) + 1
            self.after("natural", 0, int(self.natural.sum()), seen, len(every))
        self._charge("natural", spent, torch.zeros_like(every))

    def _looked(self, part: Tensor) -> State:
        with self._measured() as spent:
            labels = self._labels(self.images.x(part), part)
            right = (labels == self.images.y[part]).cpu()
        state = {"right": right, "seen": self._seen, "cost": astuple(spent[0])}
        return state | self.shown.natural(part, labels)

    def strike(self, number: int, name: str, attack: Attack, todo: Tensor, at: Tensor) -> None:
        """Attack some images, (K,) positions, each at the radius with its number, (K,).

        Every radius learns from it. An attack that takes one radius only is given them in turn.
        """
        if not len(todo):
            return
        mixed = getattr(attack, "many_radii", False)
        for group in [slice(None)] if mixed else [at == one for one in at.unique()]:
            self._strike(number, name, attack, todo[group], at[group])

    def _strike(self, number: int, name: str, attack: Attack, todo: Tensor, at: Tensor) -> None:
        seen, spent, largest = 0, Cost(), int(at.max())
        while seen < len(todo):
            now = slice(seen, seen + self.chunk)
            spent += self._chunk(number, name, attack, todo[now], at[now])
            seen += len(todo[now])
            stand = int((self.natural & self.levels[largest].stands()).sum())
            self.after(name, largest, stand, seen, len(todo))
        self._charge(name, spent, at)
        self._journal.ended()

    def _chunk(self, number: int, name: str, attack: Attack, part: Tensor, at: Tensor) -> Cost:
        """Some images at once: known from the journal, or attacked and noted there."""
        if (entry := self._journal.next()) is not None:
            for level, carried, images in entry["marks"]:
                self._mark(number, level, images.to(part.device), carried=carried)
            self.shown.learn(entry)
            self._seen, self.chunk = entry["seen"], entry["chunk"]
            return Cost(*entry["cost"])
        self._marks = []
        with self._measured() as spent:
            x_adv = self._attacked(name, attack, part, at)
            labels = self._labels(x_adv, part)
            fell = labels != self.images.y[part]
            for one in at[fell].unique().tolist():
                here = fell & (at == one)
                self._note(number, one, part[here], x_adv[here], labels[here])
        marks = [[level, carried, images.cpu()] for level, carried, images in self._marks]
        cost = astuple(spent[0])
        state = {"marks": marks, "seen": self._seen, "chunk": self.chunk, "cost": cost}
        state |= self.shown.taken()
        self.shown.learn(state)
        self._journal.add(state)
        return spent[0]

    def reach(self) -> Tensor:
        """The number of the largest radius, (N,), at which each image stands; -1: of none."""
        return torch.stack([level.stands() for level in self.levels]).sum(0) - 1

    def hold(self) -> None:
        """What stands at a radius after everything stands at every smaller one."""
        reach = self.reach()
        for number, level in enumerate(self.levels):
            if level.threat.eps:
                level.carried |= (number < reach) & self.natural

    def _note(self, number: int, at: int, part: Tensor, x_adv: Tensor, labels: Tensor) -> None:
        """A broken image is broken at all larger radii, and at those where its like is wrong too.

        What broke it is cut to the next smaller ball and looked at there: a start for free. Not
        after the first attack, which runs at every radius: its number is to be its own.
        """
        self._fell(number, at, part, x_adv, labels, carried=False)
        if not self.carries:
            return
        for larger in range(at + 1, len(self.levels)):
            self._fell(number, larger, part, x_adv, labels, carried=True)
        ball = self.levels[at].threat.is_ball  # else nothing can be cut
        for smaller in reversed(range(at if number and ball else 0)):
            if not len(part):
                return
            x_adv = self.levels[smaller].threat.project(x_adv, self.images.x(part))
            labels = self._labels(x_adv, part)
            wrong = labels != self.images.y[part]
            part, x_adv, labels = part[wrong], x_adv[wrong], labels[wrong]
            self._fell(number, smaller, part, x_adv, labels, carried=True)

    def _fell(
        self, number: int, at: int, part: Tensor, x_adv: Tensor, labels: Tensor, *, carried: bool
    ) -> None:
        """Mark images, and keep what broke those that nothing had broken at this radius."""
        new = self.levels[at].fallen[part] < 0
        self._marks.append((at, carried, part[new]))
        self._mark(number, at, part[new], carried=carried)
        if self.shown:
            self.shown.note(at, part[new], x_adv[new], labels[new])

    def _mark(self, number: int, at: int, new: Tensor, *, carried: bool) -> None:
        level = self.levels[at]
        level.fallen[new], level.carried[new] = number, carried

    def _attacked(self, name: str, attack: Attack, part: Tensor, at: Tensor) -> Tensor:
        """In halves of the batch when it does not fit into memory."""
        model = self.fast if getattr(attack, "only_calls", False) else self.model
        x, y, threat = self.images.x(part), self.images.y[part], self._threat(at)
        try:
            return attempt(name, attack, model, x, y, threat, derive(self.seed, name, int(part[0])))
        except torch.OutOfMemoryError as error:
            if len(part) == 1:
                raise AttackError(
                    f"attack {name!r} needs more memory than one image has"
                ) from error
        del x, y
        self.chunk = (len(part) + 1) // 2
        halves = zip(part.split(self.chunk), at.split(self.chunk), strict=True)
        return torch.cat([self._attacked(name, attack, p, a) for p, a in halves])

    def _threat(self, at: Tensor) -> Threat:
        """One radius where it is the same for all."""
        first = self.levels[int(at[0])].threat
        if (at == at[0]).all():
            return first
        radii = torch.tensor([float(level.threat.eps) for level in self.levels])
        return Threat(first.norm, radii.to(at.device)[at])

    def _labels(self, x: Tensor, part: Tensor) -> Tensor:
        """What the model takes images for; the true label where they are judged right."""
        if not len(part):
            return torch.zeros_like(part)
        self._seen += 1
        with seeded(derive(self.seed, "look", self._seen)):  # a model may draw
            return labelled(self.model, x, self.images.y[part], self.looks)

    def _measured(self) -> AbstractContextManager[list[Cost]]:
        return spending(self._passes, self.natural.device)

    def _charge(self, name: str, spent: Cost, at: Tensor) -> None:
        """Costs go to radii by their images, whose radii have the numbers ``at``, (K,)."""
        images = torch.bincount(at, minlength=len(self.levels)).tolist()
        for level, cost in zip(self.levels, spent.shared(images), strict=True):
            if cost is not None:
                level.costs[name] = level.costs.get(name, Cost()) + cost
