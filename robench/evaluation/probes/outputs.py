"""What logits alone give away, and the gradient at a point."""

import torch
from torch import Tensor, nn

from robench.adversary.losses import margin
from robench.adversary.pgd import PGD, PGDAttack
from robench.data.load import Data
from robench.evaluation.flags import Finding
from robench.evaluation.probes.chance import RARE, beyond, judged
from robench.evaluation.probes.subject import Subject
from robench.threat import Threat

LOOKS = 8
"""At the same images; a model that draws one of five things repeats itself once in 78,125 times."""


@torch.no_grad()
def random(model: nn.Module, x: Tensor) -> Finding:
    """Up when any logit moves by more than 1e-4 of its image's spread: rounding moves it by 1e-6.

    Convolutions on a GPU may be done another way the second time, so bits may differ.
    """
    looks = torch.stack([model(x) for _ in range(LOOKS)])
    moved = (looks - looks[0]).abs().amax((0, 2))
    spread = (looks[0].amax(1) - looks[0].amin(1)).clamp_min(1e-12)
    changed = int((moved > 1e-4 * spread).sum())
    detail = f"logits of {changed} of {len(x)} images change between {LOOKS} looks"
    return Finding("up" if changed else "ok", detail)


def draws(model: nn.Module, data: Data) -> bool:
    """Whether the flag goes up on the first of a data set's test images."""
    return random(model, data.test.first(32).x()).status == "up"


@torch.no_grad()
def probabilities(model: nn.Module, x: Tensor) -> Finding:
    """Up when every output of every image is in [0, 1] and they sum to 1, to 1e-4."""
    outputs = model(x)
    low, high, off = outputs.min(), outputs.max(), (outputs.sum(1) - 1).abs().max()
    up = bool(low >= -1e-4 and high <= 1 + 1e-4 and off <= 1e-4)
    detail = f"outputs of {len(x)} images lie in [{low:.3g}, {high:.3g}]"
    return Finding("up" if up else "ok", detail + ", each image's sum to 1" * up)


def eps_0(subject: Subject) -> Finding:
    """Up when any image that was right among all others is wrong after PGD at eps 0."""
    nowhere = Threat(subject.threat.norm, 0.0)
    fell = int((~subject.stands("eps-0", PGDAttack(pgd=PGD(steps=2)), nowhere)).sum())
    detail = f"{fell} of {len(subject.y)} images change their verdict at eps 0"
    return Finding("up" if fell else "ok", detail)


def zero_gradients(model: nn.Module, x: Tensor, y: Tensor, start: Tensor) -> Finding:
    """Of the margin, at images and at random starts; the worse of both counts."""
    at_image, at_start = (int(_useless(model, at, y).sum()) for at in (x, start))
    found = judged(max(at_image, at_start), len(x), RARE, "have no gradient that can be followed")
    return Finding(found.status, f"{found.detail} ({at_image} at the image, {at_start} beside it)")


def _useless(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Images (B,) whose gradient is zero everywhere or not finite somewhere."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        value = margin(model(leaf), y).sum() + 0 * leaf.sum()  # a gradient even where none leads
    grad = torch.autograd.grad(value, leaf)[0].flatten(1)
    return (grad == 0).all(1) | ~grad.isfinite().all(1)


def unchanged(x_adv: Tensor, x: Tensor) -> Finding:
    """Up when RARE is exceeded by images that one step on the cross-entropy has not moved."""
    same = int((x_adv == x).flatten(1).all(1).sum())
    return judged(same, len(x), RARE, "are what they were after a step on the cross-entropy")


def single_step_above_natural(natural: int, stepped: int, of: int) -> Finding:
    """Over all images, right or wrong, because only wrong ones can become right."""
    up = beyond(stepped - natural, of, RARE)
    detail = f"{stepped} of {of} images are right after a single step, {natural} before it"
    return Finding("up" if up else "ok", detail)
