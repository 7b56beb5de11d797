"""A look at the validation part: natural and robust accuracy, and what has gone wrong."""

from dataclasses import dataclass

import torch
from torch import nn

from robench.adversary.pgd import PGD, PGDAttack
from robench.data.load import Images
from robench.device import full_precision
from robench.seeds import seeded
from robench.threat import Threat

COLLAPSED = "collapsed"
OVERFITTED = "catastrophic-overfitting"


@dataclass(frozen=True)
class Validation:
    """Shares of the validation images looked at."""

    natural: float
    """Classified rightly."""
    robust: float
    """Still classified rightly under PGD."""
    commonest: float
    """Classified as the class that is predicted most."""


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong in training and makes later checkpoints suspect."""

    flag: str
    epoch: int
    detail: str


def validate(
    model: nn.Module, images: Images, threat: Threat, steps: int, seed: int, chunk: int = 500
) -> Validation:
    """Natural and PGD accuracy of a classifier; the same seed draws the same random starts."""
    natural, robust, predicted = [], [], []
    attack = PGDAttack(pgd=PGD(steps=steps))
    model.eval()
    with seeded(seed), torch.no_grad(), full_precision():
        for start in range(0, len(images), chunk):
            index = slice(start, start + chunk)
            x, y = images.x(index), images.y[index]
            prediction = model(x).argmax(1)
            x_adv = attack(model, x, y, threat)
            predicted.append(prediction)
            natural.append(prediction == y)
            robust.append(natural[-1] & (model(x_adv).argmax(1) == y))
    counts = torch.cat(predicted).bincount()
    return Validation(
        natural=torch.cat(natural).float().mean().item(),
        robust=torch.cat(robust).float().mean().item(),
        commonest=(counts.max() / counts.sum()).item(),
    )


def troubles(
    epoch: int, now: Validation, before: list[Validation], *, robust: bool
) -> list[Trouble]:
    """What the newest look at the validation part shows to be wrong.

    Collapse: nearly all images get one class. Catastrophic overfitting: robust accuracy is over 20
    points under what it has been, while natural accuracy has not fallen with it (the threshold of
    Wong et al. 2020, arXiv:2001.03994); looked for where the method is ``robust``, because natural
    training begins with a network that attacks find hard to read and ends with none of that.
    """
    found = []
    if now.commonest > 0.95:
        detail = f"{now.commonest:.0%} of the validation images get one class"
        found.append(Trouble(COLLAPSED, epoch, detail))
    top = max(before, key=lambda v: v.robust, default=now)
    if robust and top.robust - now.robust > 0.2 and top.natural - now.natural < 0.1:
        detail = f"validation PGD accuracy fell from {top.robust:.1%} to {now.robust:.1%}"
        found.append(Trouble(OVERFITTED, epoch, detail))
    return found
