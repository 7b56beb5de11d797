"""Adversarial deformation: pixels move along a smooth flow field (stAdv)."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.hunt import Hunt, Kept
from robench.adversary.losses import LOSSES, LossName
from robench.threat import Threat, per_image


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Projected ascent on the movements of a coarse lattice, bilinear in between.

    Xiao et al. 2018 (arXiv:1801.02612) move every pixel and punish rough fields. Here the field is
    smooth because it is that of a few lattice points, and bounded: no pixel moves by more than eps,
    a share of the image's side, along either axis.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    loss: LossName = "margin"
    """What is raised."""
    steps: Annotated[int, Meta(ge=1)] = 50
    """Ascent steps of 2.5 eps / steps."""
    restarts: Annotated[int, Meta(ge=1)] = 2
    """Random starts, each for the images that still stand."""
    lattice: Annotated[int, Meta(ge=2)] = 4
    """Points a side."""
    draws: Annotated[int, Meta(ge=1)] = 1
    """Gradients and logits averaged a step: expectation over transformation."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), deformed where that makes them wrong."""
        hunt = Hunt(x, threat)
        for _ in range(self.restarts):
            hunt.go(partial(self._try, model), x, y)
        return hunt.x_adv

    def _try(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
        moves = x.new_empty(len(x), 2, self.lattice, self.lattice).uniform_(-1, 1)
        eps = per_image(threat.eps, moves).expand(len(x), 1, 1, 1)
        moves, kept = moves * eps, Kept(x)
        for step in range(self.steps + 1):
            with torch.enable_grad():
                leaf = moves.detach().requires_grad_()
                x_adv = deformed(x, leaf)
                logits = torch.stack([model(x_adv) for _ in range(self.draws)])
                total = LOSSES[self.loss](logits.mean(0), y).sum()
            goes_on = kept.look(x_adv, logits, y)
            if step == self.steps or not goes_on.any():
                break
            (grad,) = torch.autograd.grad(total, leaf)
            rows = x, y, eps, moves, grad
            x, y, eps, moves, grad = (row[goes_on] for row in rows)
            moves = moves + 2.5 / self.steps * eps * grad.sign()
            moves = torch.maximum(torch.minimum(moves, eps), -eps)
        return kept.x_adv, kept.wrong


def deformed(x: Tensor, moves: Tensor) -> Tensor:
    """Images (B, C, H, W) whose pixels are fetched from elsewhere, in shares of the side.

    ``moves``, (B, 2, L, L), are those of a lattice that spans the image: to the right, downwards.
    Between its points they are bilinear, so none is larger than the largest of the lattice. What
    lies outside is the border's.
    """
    size = [*x.shape[-2:]]
    field = F.interpolate(moves, size, mode="bilinear", align_corners=True)
    still = F.affine_grid(
        torch.eye(2, 3, device=x.device, dtype=x.dtype).expand(len(x), 2, 3),
        [len(x), 1, *size],
        align_corners=False,
    )
    # The sampler's units: an image's side is 2.
    return F.grid_sample(
        x, still + 2 * field.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
