"""What attacks with several tries share: each try sees only the images that still stand.

A model that draws may be wrong once by luck. So an image of it has not fallen before every draw is
wrong, and what is kept is the iterate that most draws get wrong. One that does not draw has one
draw: an image falls at its first wrong prediction.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robench.threat import Threat

Find = Callable[..., tuple[Tensor, Tensor]]
"""Rows of the images that stand, and their threat model, to perturbed images and the share of the
draws that get them wrong, (K,)."""


class Hunt:
    """Perturbed images so far; those that no draw gets wrong are the images themselves."""

    def __init__(self, x: Tensor, threat: Threat) -> None:
        self.x_adv, self.threat = x.clone(), threat
        self.wrong = torch.zeros(len(x), device=x.device)

    @property
    def stands(self) -> Tensor:
        """Which images some draw gets right, (B,)."""
        return self.wrong < 1

    def go(self, find: Find, *rows: Any) -> None:
        """One more try at what still stands; ``rows`` hold something for every image."""
        index = self.stands.nonzero().squeeze(1)
        if len(index):
            found, wrong = find(*(row[index] for row in rows), self.threat.at(index))
            better = wrong > self.wrong[index]
            self.x_adv[index[better]] = found[better]
            self.wrong[index[better]] = wrong[better].to(self.wrong.dtype)


class Kept:
    """Of each image of a try the iterate that most draws get wrong, the later of two alike."""

    def __init__(self, x: Tensor) -> None:
        self.x_adv, self.wrong = x.clone(), torch.zeros(len(x), device=x.device)
        self._index = torch.arange(len(x), device=x.device)

    def look(self, x_adv: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        """Which of the images that went on go on still, (K,): those that some draw gets right.

        ``logits``, (D, K, classes), are what each draw says of their iterates ``x_adv``.
        """
        wrong = (logits.detach().argmax(-1) != y).float().mean(0)
        better = (wrong > 0) & (wrong >= self.wrong[self._index])
        at = self._index[better]
        self.x_adv[at], self.wrong[at] = x_adv[better].detach(), wrong[better]
        self._index = self._index[wrong < 1]
        return wrong < 1


def likeliest(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """Likeliest wrong classes of each image, likeliest first, (T, B); T is ``count`` at most."""
    count = min(count, logits.shape[1] - 1)
    return logits.scatter(1, y[:, None], -torch.inf).topk(count, dim=1).indices.T
