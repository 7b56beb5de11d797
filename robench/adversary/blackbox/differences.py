"""Ascent by finite differences: a gradient is guessed from answers along random directions."""

from collections.abc import Callable

import torch
from torch import Tensor

from robench.adversary.blackbox.queries import Oracle
from robench.adversary.losses import Loss

Draw = Callable[[int, Tensor], Tensor]
"""A number of directions (P, C, H, W) of entries of about one, in the shape of an image."""

Move = Callable[[Tensor, Tensor], Tensor]
"""Numbers of images (K,) and their gradients (K, C, H, W) to what is added to the images."""


def climb(oracle: Oracle, loss: Loss, draw: Draw, move: Move, *, pairs: int, reach: float) -> None:
    """Steps that raise ``loss(logits, y)``, from the images on, until nothing is left to ask.

    A step takes 2 ``pairs`` questions for a gradient, and one about where it leads; one that cannot
    be finished is not begun. All images of a batch share the directions, so what comes of one does
    not depend on the others, and drawing them costs next to nothing.
    """
    now, threat, rows = oracle.x.clone(), oracle.threat, oracle.every()
    while len(rows := oracle.open(rows, 2 * pairs + 1)):
        directions = draw(pairs, now[0])
        for part in oracle.batches(rows, 2 * pairs):
            grad = _gradient(oracle, part, now[part], reach * directions, loss)
            ahead = now[part] + move(part, grad)
            now[part] = threat.at(part).project(ahead, oracle.x[part])
        if len(rows := oracle.open(rows)):
            oracle.logits(rows, now[rows, None])


def _gradient(oracle: Oracle, rows: Tensor, x: Tensor, offsets: Tensor, loss: Loss) -> Tensor:
    """Of images x (K, C, H, W), up to a factor: central differences along offsets (P, C, H, W)."""
    probes = x[:, None] + torch.cat([offsets, -offsets])
    logits = oracle.logits(rows, probes).flatten(0, 1)
    labels = oracle.y[rows].repeat_interleave(probes.shape[1])
    ahead, behind = loss(logits, labels).view(len(rows), 2, -1).unbind(1)
    return ((ahead - behind) @ offsets.flatten(1)).view_as(x)
