"""What attacks without gradients share: what a search finds, and a model that counts questions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.threat import Threat, per_image

AT_ONCE = 1000
"""Images in a pass, so that hundreds of questions about each of many images fit into memory."""

_ROUNDING = 1e-6
"""An image that is further out than eps by this much was meant to be at the rim."""


@dataclass(frozen=True)
class Searched:
    """What a search came to, an entry for each image."""

    x_adv: Tensor
    """(B, C, H, W); images that stand are unchanged."""
    fell: Tensor
    """(B,), which have been wrong inside the threat model."""
    queries: Tensor
    """(B,), forward passes of an image up to the first wrong one inside; all, where it stands."""


class Search(Attack, Protocol):
    """An attack that says what it asked; it uses nothing of a model but its answers."""

    @property
    def queries(self) -> int:
        """Most forward passes of an image."""
        ...

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, /) -> Searched:
        """Perturbed images, and the questions that they cost."""
        ...


class Oracle:
    """A model that may be asked so many times about each image, and what it was wrong about.

    Whatever is asked is cut to [0, 1] first. The first wrong image inside the threat model ends the
    search for its original, whichever question it was.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, queries: int
    ) -> None:
        self.x, self.y, self.threat = x, y, threat
        self._model, self._found = model, x.clone()
        self._fell = torch.zeros_like(y, dtype=torch.bool)
        self._asked, self._queries = torch.zeros_like(y), queries

    def open(self, rows: Tensor, needed: int = 1) -> Tensor:
        """Those of some images (K,) that stand and may be asked about so many times more."""
        return rows[~self._fell[rows] & (self._asked[rows] + needed <= self._queries)]

    def every(self) -> Tensor:
        """Numbers of all images, (B,)."""
        return torch.arange(len(self.y), device=self.y.device)

    def found(self) -> Searched:
        """What the questions have come to."""
        return Searched(self._found, self._fell, self._asked)

    @torch.no_grad()
    def logits(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """Logits (K, P, classes) of candidates (K, P, C, H, W) for images (K,).

        Those that there are no questions left for are not asked about; their logits are zeros.
        """
        count, places = candidates.shape[:2]
        place = torch.arange(places, device=rows.device).expand(count, places)
        asked = place < (self._queries - self._asked[rows])[:, None]
        which = rows[:, None].expand(count, places)[asked]
        shown, inside = self._shown(which, candidates[asked])
        answers = torch.cat([self._model(part) for part in shown.split(AT_ONCE)])
        hit = torch.zeros_like(asked)
        hit[asked] = inside & (answers.argmax(1) != self.y[which])
        images = shown.new_zeros(candidates.shape)
        images[asked] = shown
        self._note(rows, asked, hit, images)
        logits = answers.new_zeros(count, places, answers.shape[1])
        logits[asked] = answers
        return logits

    def wrong(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """Which of the candidates (K, P, C, H, W) for images (K,) are classified wrongly, (K, P).

        Nothing but predicted classes is looked at.
        """
        return self.logits(rows, candidates).argmax(2) != self.y[rows, None]

    def batches(self, rows: Tensor, places: int) -> Iterator[Tensor]:
        """Images (K,) in parts that make one pass with so many candidates each."""
        yield from rows.split(max(AT_ONCE // places, 1))

    def _shown(self, which: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) as they are asked about, and which are inside the threat model."""
        x, threat = self.x[which], self.threat.at(which)
        images = images.clamp(0, 1)
        inside = threat.distance(images, x) <= threat.eps + _ROUNDING
        wide = per_image(inside, x).bool()
        return torch.where(wide, threat.project(images, x), images), inside

    def _note(self, rows: Tensor, asked: Tensor, hit: Tensor, images: Tensor) -> None:
        """Questions up to and with the first hit count; so many were needed."""
        fell, first = hit.any(1), hit.int().argmax(1)
        self._asked[rows] += torch.where(fell, first + 1, asked.sum(1))
        self._found[rows[fell]] = images[fell, first[fell]]
        self._fell[rows[fell]] = True
