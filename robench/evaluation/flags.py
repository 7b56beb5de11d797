"""The catalogue of flags: ways of looking robust without being so, and what to do about each.

No torch here: tables and the command line read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "up", "unknown"]


@dataclass(frozen=True)
class Flag:
    """What one flag means, for a reader who has never met it."""

    summary: str
    """What was seen; one line."""
    why: str
    """What that means for the number, and who found out."""
    remedy: str


@dataclass(frozen=True)
class Finding:
    """What was measured for one flag."""

    status: Status
    detail: str
    """The evidence in words, with its numbers; or why there is none."""


FLAGS: Mapping[str, Flag] = {
    "zero-gradients": Flag(
        summary="Gradients of the margin with respect to images are zero or not finite.",
        why="Attacks that follow the gradient stay where they are, so what they leave standing says"
        " nothing. Shattered gradients: Athalye et al. 2018, arXiv:1802.00420.",
        remedy="Believe only attacks without gradients (Square), or replace the step that has no"
        " gradient by a smooth one on the way back (BPDA, same paper).",
    ),
    "random": Flag(
        summary="The same image gives different logits each time.",
        why="Attacks follow the gradient of one draw, and the last look at an image is another"
        " draw: accuracy is too high, and not repeatable. Stochastic gradients: Athalye et al."
        " 2018, arXiv:1802.00420.",
        remedy="Use a suite that averages gradients over draws (expectation over transformation)"
        " and looks at every image several times, or fix what is drawn.",
    ),
    "probabilities": Flag(
        summary="Outputs lie in [0, 1] and sum to 1: probabilities, not logits.",
        why="Cross-entropy takes the softmax once more and saturates, so its gradients vanish"
        " (Carlini & Wagner 2017, arXiv:1608.04644); AutoAttack warns of it, too.",
        remedy="Return the logits before the softmax.",
    ),
    "eps-0": Flag(
        summary="Robust accuracy without any perturbation differs from natural accuracy.",
        why="At eps 0 there is only the image itself, so something besides the perturbation decides"
        " the verdict: randomness, the other images of a batch, or whether a gradient is asked for."
        " A test of the evaluation itself (Carlini et al. 2019, arXiv:1902.06705).",
        remedy="Find what the prediction depends on besides the image: layers in train mode, draws,"
        " statistics of the batch.",
    ),
    "not-monotone": Flag(
        summary="More images stand at a larger radius than at a smaller one.",
        why="The larger ball holds the smaller one, so the attack has failed at the larger radius,"
        " and nobody knows how far at the smaller (Carlini et al. 2019, arXiv:1902.06705).",
        remedy="Read each radius as no more than the least accuracy at any smaller one, and attack"
        " with more steps, restarts and another loss.",
    ),
    "full-range": Flag(
        summary="Images stand at a radius that allows every image there is.",
        why="Any other image is inside that ball, so all must fall. Where they do not, gradients"
        " lead nowhere, at this radius as at all others (Athalye et al. 2018, arXiv:1802.00420;"
        " Pintor et al. 2022, arXiv:2106.09947), or the prediction never changes.",
        remedy="Do not report numbers of attacks that follow the gradient; see zero-gradients and"
        " black-box-wins.",
    ),
    "black-box-wins": Flag(
        summary="Random search breaks images that white-box attacks left standing.",
        why="Who sees the gradient knows more than who does not; where it helps less than no"
        " gradient, it is masked, and the true accuracy is lower still (Athalye et al. 2018,"
        " arXiv:1802.00420; Croce & Hein 2020, arXiv:2003.01690).",
        remedy="Run Square with more queries and restarts, and look for what masks the gradient.",
    ),
    "transfer-wins": Flag(
        summary="Images crafted on another model break what white-box attacks left standing.",
        why="Wrong answers are there, inside the ball, and gradients do not lead to them: the"
        " oldest sign of masking (Papernot et al. 2017, arXiv:1602.02697).",
        remedy="Count transferred images in the worst case, and start the attacks from them.",
    ),
    "fgsm-wins": Flag(
        summary="A single step breaks images that 20 steps leave standing.",
        why="Many small steps should find what one large step finds; where they do not, the loss is"
        " so rough or flat around the image that its gradient misleads (Athalye et al. 2018,"
        " arXiv:1802.00420; Tramer et al. 2018, arXiv:1705.07204).",
        remedy="Try larger steps, several restarts and another loss; believe the least of all.",
    ),
    "single-step-above-natural": Flag(
        summary="Accuracy under a single step is above natural accuracy.",
        why="The step was to raise the loss and has put wrong answers right: the model reads the"
        " label out of the perturbation (label leaking: Kurakin et al. 2017, arXiv:1611.01236), or"
        " its gradient points the wrong way.",
        remedy="Train with several steps or random starts; report attacks of many steps only.",
    ),
    "gap": Flag(
        summary="The first attack leaves over 10 points more standing than all together.",
        why="Whoever reports that attack alone claims what a second look takes away, as happened to"
        " 13 published defences (Tramer et al. 2020, arXiv:2002.08347). Methods that shape the loss"
        " an attack climbs show it without any masking.",
        remedy="Report the worst case, never the first attack alone.",
    ),
    "not-converged": Flag(
        summary="Twice the steps break many more images.",
        why="The attack was stopped on its way, so its number is an upper bound with room below"
        " (Carlini et al. 2019, arXiv:1902.06705; Pintor et al. 2022, arXiv:2106.09947).",
        remedy="Use more steps, or attacks that choose their step size by themselves (APGD).",
    ),
    "silent-success": Flag(
        summary="An earlier iterate of PGD was wrong, and a later one is right again.",
        why="An attack that returns its last iterate counts such an image as robust although it was"
        " broken on the way (Pintor et al. 2022, arXiv:2106.09947). On a smooth loss that is rare;"
        " where it is not, the gradient says little of what lies a step away.",
        remedy="Use attacks that keep the first wrong iterate; all of robench's do.",
    ),
    "unchanged": Flag(
        summary="A step on the cross-entropy gives back the very image it began with.",
        why="An attack that changes nothing reports natural accuracy as robust accuracy. It happens"
        " where the loss has saturated or the gradient is zero (Carlini & Wagner 2017,"
        " arXiv:1608.04644).",
        remedy="Attack the margin or the DLR loss, which do not saturate; if that changes nothing"
        " either, see zero-gradients.",
    ),
    "logit-scale": Flag(
        summary="PGD on the cross-entropy breaks many more images once logits are divided by their"
        " scale.",
        why="Large logits saturate the softmax: its gradient rounds to zero, and PGD fails on a"
        " network that is no more robust than before (Carlini & Wagner 2017, arXiv:1608.04644;"
        " Croce & Hein 2020, arXiv:2003.01690, made the DLR loss for it).",
        remedy="Report attacks on the margin, DLR or scale-invariant loss.",
    ),
}
"""By the name that tables give them, in the order in which they are shown."""


def raised(findings: Mapping[str, Finding]) -> tuple[str, ...]:
    """Names of the flags that are up."""
    return tuple(name for name in FLAGS if name in findings and findings[name].status == "up")


def merged(*sources: Mapping[str, Finding]) -> dict[str, Finding]:
    """One finding a flag, in the catalogue's order: up beats ok, ok beats unknown.

    Of two that say the same the first stays, and what no source speaks of is unknown.
    """
    rank = {"up": 0, "ok": 1, "unknown": 2}
    none = Finding("unknown", "nothing was measured")
    return {
        name: min((s[name] for s in sources if name in s), key=lambda f: rank[f.status],
                  default=none)
        for name in FLAGS
    }  # fmt: skip
