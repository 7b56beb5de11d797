"""The six indicators of attack failure, a value in [0, 1] for each image.

Pintor et al. 2022 (arXiv:2106.09947). Where ours depart from the authors' code: one that counts
images is up by the rule of all masking flags, because honest models show a little of every sign;
predictions are unstable in the margin, and within a share of eps, because the cross-entropy of a
confident network is near zero and doubles from one pixel to the next; only images that stand can
have been left too early; and full range is tried from the image itself, because a random start is a
wrong answer by itself there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robench.adversary.attack import right
from robench.adversary.gradient import gradient
from robench.adversary.losses import margin
from robench.device import full_precision
from robench.evaluation.flags import Finding
from robench.evaluation.indicators.trace import Audited, Trace
from robench.evaluation.probes import attacks
from robench.evaluation.probes.chance import COMMON, RARE, judged
from robench.evaluation.probes.subject import Attackable, Subject
from robench.radius import NORMS
from robench.seeds import derive, seeded
from robench.threat import Threat

LOOKS = 100
"""Random points around an image; the paper's."""

NEAR = 0.1
"""How far those are, in shares of eps. The paper's 4/255 are half of its eps; at a tenth a
continuous margin hardly moves, one that jumps moves as far as ever."""

UNSTABLE = 0.1
"""Mean relative change of the margin above which an image counts."""

LAST = 10
"""Iterates that are looked at for a loss still rising; the paper's."""

RISING = 0.05
"""Share of the loss's whole range that it may rise in those; the paper's."""


@dataclass(frozen=True)
class Indication:
    """What one indicator comes to."""

    finding: Finding
    values: Tensor
    """One for each image that it is about, in [0, 1], (n,)."""

    @property
    def value(self) -> float:
        """Their mean; NaN where it is about no image."""
        return self.values.mean().item() if len(self.values) else float("nan")


def indicators(audited: Audited) -> dict[str, Indication]:
    """Every indicator of one attack on one model, by name.

    Raises:
        AttackError: the attack fails or breaks the rules.
        ConfigError: it climbs no loss.
    """
    with full_precision():
        traces = audited.traces()
        with seeded(derive(audited.seed, "audit")):
            return {
                "unavailable-gradients": unavailable(audited),
                "unstable-predictions": unstable(audited),
                "silent-success": silent(traces),
                "incomplete-optimisation": incomplete(traces),
                "transfer-failure": transfer(traces),
                "unconstrained-failure": unconstrained(audited),
            }


def unavailable(audited: Audited) -> Indication:
    """1: the attack's loss has a zero gradient, or none, at the image or at a random start."""
    model, start = Attackable(audited.surrogate), audited.threat.random_start(audited.x)
    useless = [_zero(gradient(model, at, audited.loss, audited.y)[2]) for at in (audited.x, start)]
    return _counted(useless[0] | useless[1], RARE, "have no gradient of the attack's loss")


@torch.no_grad()
def unstable(audited: Audited) -> Indication:
    """Mean relative change of the margin over random points nearby, 1 at most."""
    x, y = audited.x, audited.y
    near = Threat(audited.threat.norm, NEAR * audited.threat.eps)
    here = margin(audited.model(x), y)
    moved = [(margin(audited.model(near.random_start(x)), y) - here).abs() for _ in range(LOOKS)]
    change = torch.stack(moved).mean(0) / here.abs().clamp_min(1e-12)
    values = change.clamp(0, 1).double()
    detail = f"change their margin by over {UNSTABLE:.0%} within {NEAR:g} eps"
    return Indication(judged(int((values > UNSTABLE).sum()), len(y), COMMON, detail), values)


def silent(traces: Sequence[Trace]) -> Indication:
    """1: an iterate was wrong, and what the attack came back with is right."""
    found = [bool(trace.wrong.any()) and not trace.fooled for trace in traces]
    return _counted(torch.tensor(found), RARE, "were broken on the way and came back right")


def incomplete(traces: Sequence[Trace]) -> Indication:
    """How far the loss of an image that stands still rose at the end, in shares of its range."""
    stood = [trace for trace in traces if not (trace.fooled or trace.wrong.any())]
    values = torch.tensor([rise(trace.losses) for trace in stood], dtype=torch.float64)
    if not stood:
        return Indication(Finding("ok", "no image stands that could have been left early"), values)
    detail = f"that stand were rising by over {RISING:.0%} in the last {LAST} iterates"
    return Indication(judged(int((values > RISING).sum()), len(stood), COMMON, detail), values)


def rise(losses: Tensor) -> float:
    """How far the best so far of losses (iterates,) rose over the last, in shares of the range."""
    spread = losses.max() - losses.min()
    if not spread > 0:
        return 0.0
    best = losses.cummax(0).values[-LAST:]
    return ((best[-1] - best[0]) / spread).item()


def transfer(traces: Sequence[Trace]) -> Indication:
    """1: what the attack came back with fools the model that it climbed, not the one judged."""
    found = torch.tensor([trace.fooled and not trace.fell for trace in traces])
    return _counted(found, RARE, "fool what the attack climbed and not the model")


def unconstrained(audited: Audited) -> Indication:
    """1: the image stands where the ball holds every image."""
    norm = audited.threat.norm if audited.threat.norm in NORMS else "Linf"
    everything = Threat(norm, attacks.whole(norm, audited.x))
    attack = replace(attacks.STRAIGHT, loss=audited.raised)
    model = Attackable(audited.surrogate)
    subject = Subject(model, audited.x, audited.y, everything, audited.seed)
    stands = subject.stands("full-range", attack)
    return _counted(stands, RARE, f"stand at {norm} {everything.eps:.3g}")


def _counted(shown: Tensor, share: float, detail: str) -> Indication:
    found = judged(int(shown.sum()), len(shown), share, detail)
    return Indication(found, shown.double())


def _zero(grad: Tensor) -> Tensor:
    return (grad.flatten(1) == 0).all(1)


def rightly(model: nn.Module, x: Tensor, y: Tensor, count: int) -> Tensor:
    """Positions of the first images that a model classifies rightly, ``count`` at most."""
    return right(model, x, y).nonzero().squeeze(1)[:count]
