"""DeepFool: steps just past the nearest of the linearised decision boundaries."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.hunt import likeliest
from robench.adversary.nearest.across import across
from robench.adversary.nearest.nearest import Closest, Nearness, dual

Count = Annotated[int, Meta(ge=1)]

BEYOND = 1e-4
"""Length by which each step is longer, as in the authors' code: without it, steps towards a curved
boundary may come ever nearer and never cross it."""

_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class DeepFool:
    """DeepFool (Moosavi-Dezfooli et al. 2016, arXiv:1511.04599), in Linf, L2, L1 and L0.

    Steps in L1 and L0 change the pixels that count most, as far as [0, 1] lets them (as SparseFool
    does, Modas et al. 2019, arXiv:1811.02248). An image stops at its first wrong prediction.
    """

    steps: Count = 50
    """Linearisations."""
    classes: Count = 9
    """Likeliest wrong classes of the unperturbed image whose boundaries are looked at."""
    overshoot: Annotated[float, Meta(ge=0)] = 0.02
    """By how much the perturbation is longer than all steps together."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        closest, index = Closest(x, norm), torch.arange(len(x), device=x.device)
        now, total = x, torch.zeros_like(x)
        classes = torch.empty(0, len(x), dtype=torch.long, device=x.device)
        for step in range(self.steps + 1):
            leaf = now.detach().requires_grad_()
            with torch.enable_grad():
                logits = model(leaf)
            if not step:
                classes = likeliest(logits.detach(), y, self.classes)
            wrong = logits.argmax(1) != y[index]
            closest.look(now, wrong, index)
            if step == self.steps or wrong.all():
                break
            need, normal = _nearest(leaf, logits, y[index], classes[:, index], norm)
            go = ~wrong
            need = need + BEYOND * dual(normal, norm)
            total = total[go] + across(now[go], normal[go], need[go], norm)
            index = index[go]
            now = (x[index] + (1 + self.overshoot) * total).clamp(0, 1)
        return closest.x_adv


def _nearest(
    leaf: Tensor, logits: Tensor, y: Tensor, classes: Tensor, norm: Nearness
) -> tuple[Tensor, Tensor]:
    """How far the nearest class's logit is behind (B,), and the gradient of the difference."""
    own = logits.gather(1, y[:, None]).squeeze(1)
    best, need = torch.full_like(own, torch.inf), torch.zeros_like(own)
    normal = torch.zeros_like(leaf)
    for number, other in enumerate(classes):
        with torch.enable_grad():
            difference = logits.gather(1, other[:, None]).squeeze(1) - own
            more = number + 1 < len(classes)
            (grad,) = torch.autograd.grad(difference.sum(), leaf, retain_graph=more)
        grad = grad.nan_to_num_(0.0, 0.0, 0.0)
        behind = -difference.detach()
        length = behind / (dual(grad, norm) + _TINY)
        nearer = length < best
        best, need = torch.where(nearer, length, best), torch.where(nearer, behind, need)
        normal[nearer] = grad[nearer]
    return need, normal
