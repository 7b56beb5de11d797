"""Attack a trained classifier with a suite: an outcome for every image at every radius.

The cost of a suite lies in the images that stand. So, where a verdict at one radius tells something
of another, every image goes through the whole suite at one radius only: the largest at which it
stands. It then stands at every smaller one, whose balls lie inside. What fell at one radius has
fallen at every larger one. The first attack runs at every radius, on all that have not fallen at a
smaller one.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass, field, replace

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.measure import Reading
from robench.adversary.suite import Suite, Verdict
from robench.adversary.transfer import transferred
from robench.data.load import Images
from robench.device import full_precision
from robench.evaluation.audit import Audit, most_missed
from robench.evaluation.cost import Cost, spending
from robench.evaluation.examples import Examples
from robench.evaluation.flags import Finding, merged, raised
from robench.evaluation.journal import Journal
from robench.evaluation.outcomes import Outcomes
from robench.evaluation.probes.probe import probe
from robench.evaluation.probes.read_off import read_off
from robench.evaluation.trial import CHUNK, After, Trial
from robench.keeping import Keeper, State
from robench.models.passes import Passes, counted
from robench.models.prepared import prepared
from robench.radius import NORMS
from robench.seeds import derive
from robench.threat import Threat

PROBED = 64
"""Images looked at for signs of masking."""


@dataclass(frozen=True)
class Evaluated:
    """What a suite found at one radius."""

    outcomes: Outcomes
    costs: Mapping[str, Cost]
    verdict: Verdict
    audit: Audit | None = None
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """What every flag of the catalogue comes to."""
    chunk: int = CHUNK
    """Images attacked at once: fewer where memory ran out."""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """What each measure found, where the suite has measures."""
    examples: Examples | None = None
    """The first images, and what broke those that fell, where they were asked for."""
    probing: Cost | None = None
    """Of looking for signs of masking, which is done once: at the largest of the radii."""


def evaluate(
    model: nn.Module,
    suite: Suite,
    images: Images,
    threats: Sequence[Threat],
    seed: int,
    after: After,
    *,
    stochastic: bool = False,
    stand_in: Suite | None = None,
    keeper: Keeper | None = None,
    save_adversarial: int = 0,
) -> list[Evaluated]:
    """Run a suite on all images, in float32, at radii in ascending order.

    First it looks for signs of masking at the largest of them. Where the model draws, or is said to
    be ``stochastic``, the suite's stand-in takes its place; where any flag is up, no audit will do.
    Of the first images, ``save_adversarial`` many, it gives back what broke them as well.

    Raises:
        AttackError: an attack failed or broke the rules; no accuracy comes of it.
    """
    model.eval()
    journal, fast = Journal(keeper, save_adversarial), prepared(model, images.x(slice(0, 8)))
    known = journal.next() or journal.add(
        _probed(fast, suite, images.first(PROBED), threats[-1], seed)
    )
    signs, spent = known.get("findings", known), known.get("cost", ())  # once without a cost
    probed = {name: Finding(**finding) for name, finding in signs.items()}
    if stand_in is not None and (stochastic or probed["random"].status == "up"):
        suite = stand_in
    with full_precision(), ExitStack() as stack:
        passes = _counting(stack, model, fast, *suite.surrogates)
        trial = Trial(
            model, fast, images, threats, passes,
            looks=suite.looks, carries=suite.carries, seed=seed, after=after,
            journal=journal,
        )  # fmt: skip
        audits = _run(trial, suite, flagged=bool(raised(probed)))
    found = [_evaluated(trial, suite, at, audits.get(at), probed) for at in range(len(threats))]
    return [*found[:-1], replace(found[-1], probing=Cost(*spent))]


def _counting(stack: ExitStack, *networks: nn.Module) -> list[Passes]:
    """Of each network, once."""
    different = {id(network): network for network in networks}
    return [stack.enter_context(counted(network)) for network in different.values()]


def _probed(model: nn.Module, suite: Suite, few: Images, threat: Threat, seed: int) -> State:
    """Findings, and what they cost."""
    x, y = few.x(), few.y
    if threat.norm not in NORMS:  # what can be seen without any perturbation: probes have no L1
        threat = Threat("Linf", 0.0)
    with full_precision(), ExitStack() as stack:
        passes = _counting(stack, model, *suite.surrogates)
        spent = stack.enter_context(spending(passes, y.device))
        others = transferred(suite.attacks, model, x, y, threat, seed) if threat.eps else None
        found = probe(model, x, y, threat, seed, transferred=others)
    findings = {name: asdict(finding) for name, finding in found.items()}
    return {"findings": findings, "cost": astuple(spent[0])}


def _run(trial: Trial, suite: Suite, *, flagged: bool) -> dict[int, Audit]:
    """Every attack at every radius; what audits came to, by the radius's number."""
    trial.look()
    radii = [at for at, level in enumerate(trial.levels) if level.threat.eps]
    if suite.carries and len(radii) > 1:
        _sweep(trial, suite, radii)
        return {}
    audits: dict[int, Audit] = {}
    for at in radii:
        _prefix(trial, suite, at)
        if suite.audit:
            audits[at] = _audit(trial, suite, at, flagged=flagged)
    return audits


def _sweep(trial: Trial, suite: Suite, radii: Sequence[int]) -> None:
    """The first attack upwards; then every image through the others where it still stands.

    An image that falls goes on at the next smaller radius, from the second attack on. What has to
    catch up goes first, so that images of all radii come to the dear attacks together.
    """
    (first, attack), *others = list(suite.attacks.items())
    for at in radii:
        _strike(trial, 0, first, attack, at, _left(trial, at))
    passed = torch.zeros_like(trial.images.y)  # of the others, at the radius where an image is
    while len(todo := _behind(trial, passed, radii[0], len(others))):
        number, before = int(passed[todo[0]]), trial.reach()[todo]
        name, another = others[number]
        trial.strike(number + 1, name, another, todo, before)
        passed[todo] = torch.where(trial.reach()[todo] == before, number + 1, 0)
    trial.hold()


def _behind(trial: Trial, passed: Tensor, least: int, every: int) -> Tensor:
    """Positions, (K,), of the images that have passed the fewest attacks, if those are not all."""
    goes_on = trial.natural & (trial.reach() >= least) & (passed < every)
    if not goes_on.any():
        return goes_on.nonzero().squeeze(1)
    return (goes_on & (passed == passed[goes_on].min())).nonzero().squeeze(1)


def _strike(trial: Trial, number: int, name: str, attack: Attack, at: int, todo: Tensor) -> None:
    """At one radius."""
    trial.strike(number, name, attack, todo, torch.full_like(todo, at))


def _prefix(trial: Trial, suite: Suite, at: int) -> None:
    """All attacks but those of an audit."""
    audited = suite.audit.attacks if suite.audit else ()
    for number, (name, attack) in enumerate(suite.attacks.items()):
        if name not in audited:
            _strike(trial, number, name, attack, at, _left(trial, at))


def _audit(trial: Trial, suite: Suite, at: int, *, flagged: bool) -> Audit:
    """The remaining attacks on a random part of what stands; on the rest too if one image falls."""
    assert suite.audit is not None
    stood = _left(trial, at)
    generator = torch.Generator().manual_seed(derive(trial.seed, "audit"))
    order = torch.randperm(len(stood), generator=generator).to(stood.device)
    looked = len(stood) if flagged else min(suite.audit.images, len(stood))
    sample, rest = stood[order[:looked]].sort().values, stood[order[looked:]].sort().values
    _finish(trial, suite, at, sample)
    fell = int((trial.levels[at].fallen[sample] >= 0).sum())
    if fell:
        _finish(trial, suite, at, rest)
        looked = len(stood)
    return Audit(len(stood), looked, fell, most_missed(looked, len(stood)))


def _finish(trial: Trial, suite: Suite, at: int, todo: Tensor) -> None:
    assert suite.audit is not None
    for number, (name, attack) in enumerate(suite.attacks.items()):
        if name in suite.audit.attacks:
            still = todo[trial.levels[at].stands()[todo]]
            _strike(trial, number, name, attack, at, still)


def _left(trial: Trial, at: int) -> Tensor:
    """Images, (K,) positions, of which nothing is decided at a radius."""
    level = trial.levels[at]
    return (trial.natural & level.stands() & ~level.carried).nonzero().squeeze(1)


def _evaluated(
    trial: Trial, suite: Suite, at: int, audit: Audit | None, probed: Mapping[str, Finding]
) -> Evaluated:
    level, names = trial.levels[at], list(suite.attacks)
    stands = {"natural": trial.natural}
    for number, name in enumerate(names):
        gone = (level.fallen >= 0) & (level.fallen <= number)
        stands[name] = trial.natural & ~gone
    outcomes = Outcomes(
        {name: mask.cpu().numpy() for name, mask in stands.items()},
        trial.images.y.cpu().numpy(),
        trial.images.origin.cpu().numpy(),
        (level.carried & trial.natural).cpu().numpy(),
    )
    costs = {name: level.costs.get(name, Cost()) for name in ["natural", *names]}
    whole = audit is not None and audit.looked == audit.stood
    verdict: Verdict = "full" if whole else suite.verdict
    findings = merged(probed, read_off(outcomes.stands))
    examples = trial.shown.examples(at, level.fallen, names)
    return Evaluated(outcomes, costs, verdict, audit, findings, trial.chunk, examples=examples)
