"""Every probe on the first rightly classified images: one finding a flag."""

from torch import Tensor, nn

from robench.adversary.attack import checked, right
from robench.adversary.losses import cross_entropy
from robench.device import full_precision
from robench.evaluation.flags import FLAGS, Finding, merged
from robench.evaluation.probes import attacks, outputs
from robench.evaluation.probes.subject import Attackable, Subject
from robench.seeds import derive, seeded
from robench.threat import Threat

IMAGES = 32
"""Attacked; the first that are classified rightly."""

Findings = dict[str, Finding]


def probe(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    seed: int,
    *,
    transferred: Tensor | None = None,
) -> Findings:
    """Look for signs that a model only seems robust; every flag of the catalogue gets a finding.

    The model is in eval mode and stays as it is. An image costs at most about 1,200 forward passes,
    where a backward pass counts as two, and far less once it has fallen. ``transferred`` are
    perturbed images, as many as ``x``, that were crafted on another model in this threat model.

    Raises:
        AttackError: logits are not finite, or transferred images are outside the threat model.
    """
    with full_precision(), seeded(derive(seed, "probe")):
        chosen = right(model, x, y).nonzero().squeeze(1)[:IMAGES]
        found = _at_a_glance(model, x[:IMAGES], y[:IMAGES], threat)
        if not threat.eps or not len(chosen):
            reason = "no image is classified rightly" if threat.eps else "eps is 0"
            return merged(found, dict.fromkeys(FLAGS, Finding("unknown", reason)))
        everyone = Subject(Attackable(model), x, y, threat, seed)
        stepped = everyone.attacked("single-step", attacks.FGSM)
        found |= _single_step(everyone, stepped, chosen)
        others = (
            None if transferred is None else checked("transferred", transferred, x, threat)[chosen]
        )
        subject = Subject(everyone.model, x[chosen], y[chosen], threat, seed)
        return merged(found, _several_steps(subject, stepped[chosen], others))


def _at_a_glance(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Findings:
    return {
        "zero-gradients": outputs.zero_gradients(model, x, y, threat.random_start(x)),
        "random": outputs.random(model, x),
        "probabilities": outputs.probabilities(model, x),
    }


def _single_step(everyone: Subject, stepped: Tensor, chosen: Tensor) -> Findings:
    before = int(right(everyone.model, everyone.x, everyone.y).sum())
    after = int(right(everyone.model, stepped, everyone.y).sum())
    return {
        "single-step-above-natural": outputs.single_step_above_natural(
            before, after, len(everyone.y)
        ),
        "unchanged": outputs.unchanged(stepped[chosen], everyone.x[chosen]),
    }


def _several_steps(subject: Subject, stepped: Tensor, transferred: Tensor | None) -> Findings:
    def stands(x_adv: Tensor) -> Tensor:
        return right(subject.model, x_adv, subject.y)

    wrong = attacks.climbed(subject, 2 * attacks.STEPS, cross_entropy)
    scaled = attacks.climbed(subject, attacks.STEPS, attacks.scaled(subject))
    white = attacks.white_box(subject, wrong)
    square = subject.stands("square", attacks.SQUARE, among=white)
    found = {
        "eps-0": outputs.eps_0(subject),
        "not-monotone": attacks.not_monotone(subject),
        "full-range": attacks.full_range(subject),
        "black-box-wins": attacks.wins(white, square, "random search"),
        "transfer-wins": Finding("unknown", "no images crafted on another model are given"),
        "fgsm-wins": attacks.fgsm_wins(wrong, stands(stepped)),
        "gap": Finding("unknown", "read off the outcomes of a suite"),
        "not-converged": attacks.not_converged(wrong),
        "silent-success": attacks.silent_success(wrong),
        "logit-scale": attacks.logit_scale(wrong, scaled),
    }
    if transferred is not None:
        found["transfer-wins"] = attacks.wins(white, stands(transferred), "transferred images")
    return found
