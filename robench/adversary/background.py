"""Perturbations of an image's background alone (Rothberg et al. 2019, arXiv:1909.04779)."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import PGD, Halt, ascend
from robench.threat import Threat

Kind = Literal["dark", "border"]
Share = Annotated[float, Meta(ge=0, le=1)]


def background(x: Tensor, kind: Kind, threshold: float, crop: float) -> Tensor:
    """A mask (B, 1, H, W) of the pixels that are background.

    ``dark``: all channels at most ``threshold``; ``border``: outside a centre crop, whose sides are
    a share ``crop`` of the image's.
    """
    if kind == "dark":
        return (x <= threshold).all(1, keepdim=True)
    mask = torch.ones_like(x[:, :1], dtype=torch.bool)
    height, width = (round(crop * side) for side in x.shape[2:])
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    mask[:, :, top : top + height, left : left + width] = False
    return mask


def ascend_behind(
    attack: PGD,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    mask: Tensor,
    halt: Halt | None = None,
) -> Tensor:
    """PGD on the cross-entropy whose gradient, and start, are 0 where the mask is not."""
    return ascend(
        model,
        x,
        torch.where(mask, attack.begin(x, threat), x),
        lambda logits: cross_entropy(logits, y),
        threat,
        steps=attack.steps,
        size=attack.size(threat),
        halt=halt,
        move=lambda grad, size: size * threat.direction(grad * mask),
    )


@dataclass(frozen=True, kw_only=True)
class BehindPGD:
    """PGD that leaves the foreground as it is; an image stops at its first wrong prediction."""

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    mask: Kind
    """What is background: dark pixels, or all outside a centre crop."""
    threshold: Share = 0.0
    """Largest value of a dark pixel."""
    crop: Share = 0.5
    """Sides of the centre crop, as a share of the image's."""
    attack: PGD = field(default_factory=lambda: PGD(steps=40))

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W) with other backgrounds."""

        def wrong(logits: Tensor, values: Tensor, step: int) -> Tensor:
            return logits.argmax(1) != y

        mask = background(x, self.mask, self.threshold, self.crop)
        return ascend_behind(self.attack, model, x, y, threat, mask, wrong)
