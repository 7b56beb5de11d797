"""What attacks with several tries share: each try sees only the images that still stand."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robench.threat import Threat

Find = Callable[..., tuple[Tensor, Tensor]]
"""Rows of the images that stand, and their threat model, to perturbed images and who fell, (K,)."""


class Hunt:
    """Perturbed images so far; those that no try has broken are the images themselves."""

    def __init__(self, x: Tensor, threat: Threat) -> None:
        self.x_adv, self.threat = x.clone(), threat
        self.stands = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def go(self, find: Find, *rows: Any) -> None:
        """One more try at what still stands; ``rows`` hold something for every image."""
        index = self.stands.nonzero().squeeze(1)
        if len(index):
            found, fell = find(*(row[index] for row in rows), self.threat.at(index))
            self.x_adv[index[fell]] = found[fell]
            self.stands[index[fell]] = False


def likeliest(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """Likeliest wrong classes of each image, likeliest first, (T, B); T is ``count`` at most."""
    count = min(count, logits.shape[1] - 1)
    return logits.scatter(1, y[:, None], -torch.inf).topk(count, dim=1).indices.T
