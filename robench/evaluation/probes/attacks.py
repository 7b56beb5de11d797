"""What attacks of several kinds say of the same images, held against each other."""

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.losses import Loss, cross_entropy
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.square import Square
from robench.evaluation.flags import Finding
from robench.evaluation.probes.chance import COMMON, RARE, judged
from robench.evaluation.probes.subject import Subject
from robench.radius import Norm
from robench.threat import Threat

STEPS = 20
"""Of the PGD that most papers report."""

FGSM = PGD(steps=1, start="none")
"""Its one step is longer than eps and then projected, which is a step of length eps."""

BEFORE = APGD(steps=50)
"""The first white-box attack."""

AFTER = TargetedAPGD(targets=3, steps=25)
"""The second, on what stands after it and after PGD."""

SQUARE = Square(queries=300)

LADDER = APGD(steps=20)
"""The attack whose successes are compared between radii."""

RADII = (0.5, 1.0, 2.0)
"""Times eps."""

STRAIGHT = PGDAttack(pgd=PGD(steps=20, start="none"), loss="margin")
"""From the image itself: a random start at full range would be a wrong answer by itself."""


def climbed(subject: Subject, steps: int, loss: Loss) -> Tensor:
    """Which iterates of PGD were wrong, (iterates, B), the start first; none is skipped.

    Steps are as long as those of PGD-20 however many there are, so that 20 more steps continue the
    first 20. It ends early once all images have fallen and those 20 steps are over.
    """
    wrong: list[Tensor] = []

    def look(logits: Tensor, values: Tensor, step: int) -> Tensor:
        wrong.append(logits.argmax(1) != subject.y)
        over = step >= STEPS and bool(torch.stack(wrong).any(0).all())
        return torch.full_like(wrong[-1], over)

    def climb(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        pgd = PGD(steps=steps, step_size=2.5 / STEPS * float(threat.eps))
        return pgd(model, x, y, threat, loss, halt=look)

    subject.attacked("pgd", climb)
    return torch.stack(wrong)


def scaled(subject: Subject) -> Loss:
    """Cross-entropy of logits whose two largest are at most one apart at the unperturbed image.

    Small logits stay: on an honest network whose logits have hardly grown yet, larger ones make PGD
    better by a tenth, as any loss nearer to the margin does.
    """
    with torch.no_grad():
        top = subject.model(subject.x).topk(2, dim=1).values
    gap = (top[:, :1] - top[:, 1:]).clamp_min(1)
    return lambda logits, y: cross_entropy(logits / gap, y)


def not_converged(wrong: Tensor) -> Finding:
    """Up when more than COMMON of the images fall in the second half of PGD's 40 steps."""
    late = wrong.any(0) & ~_fell(wrong)
    return judged(int(late.sum()), len(late), COMMON, "fall in steps 21 to 40 of PGD")


def silent_success(wrong: Tensor) -> Finding:
    """Up when more than RARE of the images were wrong at an iterate and right at a later one.

    Whatever step PGD had ended with, some of them would have gone unseen.
    """
    silent = (wrong.cummax(0).values & ~wrong).any(0)
    return judged(int(silent.sum()), len(silent), RARE, "become wrong and right again under PGD")


def logit_scale(wrong: Tensor, scaled: Tensor) -> Finding:
    """Up when dividing logits breaks more than RARE of the images, less those that it saves."""
    one, other = _fell(wrong), _fell(scaled)
    more, fewer = int((other & ~one).sum()), int((one & ~other).sum())
    detail = f"more fall to PGD-20 with scaled logits ({more} only then, {fewer} only without)"
    return judged(max(more - fewer, 0), len(one), RARE, detail)


def fgsm_wins(wrong: Tensor, fgsm: Tensor) -> Finding:
    """Up when more than RARE of the images fall to a single step and not to PGD-20."""
    won = ~_fell(wrong) & ~fgsm
    return judged(int(won.sum()), len(won), RARE, "fall to a single step and stand PGD-20")


def wins(white: Tensor, other: Tensor, what: str) -> Finding:
    """Up when more than RARE of the images stand white-box attacks and fall to another kind."""
    won = int((white & ~other).sum())
    return judged(won, len(white), RARE, f"stand white-box attacks and fall to {what}")


def white_box(subject: Subject, wrong: Tensor) -> Tensor:
    """Which images stand PGD-40 and two kinds of APGD."""
    stands = ~wrong.any(0) & subject.stands("apgd-ce", BEFORE)
    return subject.stands("apgd-t", AFTER, among=stands)


def not_monotone(subject: Subject) -> Finding:
    """Up when more than RARE of the images more stand at a radius than at one below it."""
    norm, eps = subject.threat.norm, float(subject.threat.eps)
    stand = {
        share: int(subject.stands("ladder", LADDER, Threat(norm, share * eps)).sum())
        for share in RADII
    }
    return compared(stand, len(subject.y))


def compared(stand: Mapping[float, int], of: int) -> Finding:
    """The largest rise between two of the radii, given as shares of eps from small to large."""
    rise = max(large - small for small, large in itertools.combinations(stand.values(), 2))
    counts = ", ".join(f"{count} at {share:g} eps" for share, count in stand.items())
    return judged(max(rise, 0), of, RARE, f"more stand at a larger radius ({counts})")


def full_range(subject: Subject) -> Finding:
    """Up when more than RARE of the images stand where the ball holds every image."""
    everything = Threat(subject.threat.norm, whole(subject.threat.norm, subject.x))
    left = int(subject.stands("full-range", STRAIGHT, everything).sum())
    return judged(left, len(subject.y), RARE, f"stand at {everything.norm} {everything.eps:.3g}")


def whole(norm: Norm, x: Tensor) -> float:
    """A radius that no two images in [0, 1] are further apart than."""
    return 1.0 if norm == "Linf" else float(x[0].numel() ** 0.5)


def _fell(wrong: Tensor) -> Tensor:
    """Images with a wrong iterate among the start and the first 20 steps."""
    return wrong[: STEPS + 1].any(0)
