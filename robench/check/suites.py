"""What every suite must do."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.attack import attempt
from robench.adversary.measure import Reading
from robench.adversary.suite import Suite, suite
from robench.check import tiny
from robench.check.capped import capped
from robench.check.finding import Check, equal, snapshot
from robench.data.batches import Batch
from robench.evaluation.measured import measure
from robench.threat import Threat
from robench.training.method import Method, Run
from robench.training.train import train

_CAPS = {"steps": 10, "restarts": 2, "targets": 2, "queries": 100, "draws": 2, "looks": 3}
"""Settings of attacks that decide how long they take."""

_CAPS_OF_MEASURES = {**_CAPS, "steps": 5, "angles": 5, "shifts": 3}
"""Those of measures, which are many to a suite and need not break anything here."""

_BROKEN = {"Linf": 0.5, "L2": 4.0, "L1": 60.0, "flow": 0.5}
"""Radii at which nothing of an undefended network may stand."""


def suite_checks(name: str) -> Iterator[tuple[str, Check]]:
    """What is looked at, and how."""
    found = suite(name)
    if found.measures:
        short = {name: capped(look, _CAPS_OF_MEASURES) for name, look in found.measures.items()}
        found = replace(found, measures=short)
        for norm in found.norms:
            threat, twice = Threat(norm, float(tiny.FACTS.eps[norm])), norm == found.norms[0]
            what = f"measures in {norm}: model untouched" + ", one seed one result" * twice
            yield what, partial(_measures, found, threat, twice=twice)
        return
    found = _short(found.on({method: _victim()[0] for method in found.sources}))
    for norm in found.norms:
        threat = Threat(norm, float(tiny.FACTS.eps[norm]))
        what = f"runs in {norm}: inside the ball, model untouched, one seed one result"
        yield what, partial(_runs, name, found, threat)
        if any(getattr(attack, "many_radii", False) for attack in found.attacks.values()):
            what = f"takes a radius for each image in {norm} where it says so"
            yield what, partial(_many_radii, found, threat)
    yield "changes nothing at eps 0", partial(_nothing, found)
    yield "breaks an undefended network", partial(_breaks, found)


def _short(found: Suite) -> Suite:
    """The suite on small budgets: its contract does not depend on them, its time does."""
    attacks = {name: capped(attack, _CAPS) for name, attack in found.attacks.items()}
    return Suite(attacks, norms=found.norms, needs=found.needs, looks=found.looks)


def _runs(name: str, found: Suite, threat: Threat) -> str:
    found.check(name, threat.norm)
    model, x, y = _victim()
    before = snapshot(model)
    first, second = ([m for _, m in found.run(model, x, y, threat, seed=1)] for _ in range(2))
    if not equal(before, snapshot(model)):
        return "an attack changes the model"
    if any(p.grad is not None or not p.requires_grad for p in model.parameters()):
        return "an attack leaves gradients on parameters, or switches them off"
    if not all(torch.equal(one, other) for one, other in zip(first, second, strict=True)):
        return "two runs with one seed differ; draw from torch's generators only"
    falls = all(bool((late <= early).all()) for early, late in itertools.pairwise(first))
    return "" if falls else "an image that had fallen stands again"


def _measures(found: Suite, threat: Threat, *, twice: bool) -> str:
    model, data = _victim()[0], tiny.data(test=24)
    before = snapshot(model)
    first, *again = (
        measure(model, found, data, [threat], 1, lambda *_: None)[0].readings
        for _ in range(1 + twice)
    )
    if not equal(before, snapshot(model)):
        return "a measure changes the model"
    if any(_numbers(first) != _numbers(second) for second in again):
        return "two runs with one seed differ; draw from torch's generators only"
    empty = [name for name, reading in first.items() if not reading.values]
    return f"{', '.join(empty)} says nothing" if empty else ""


def _numbers(readings: Mapping[str, Reading]) -> str:
    """Values and curves to the last digit; NaN is like NaN."""
    return repr([(r.values, [c.y.tolist() for c in r.curves]) for r in readings.values()])


def _many_radii(found: Suite, threat: Threat) -> str:
    """One image at twice the radius and the others at a tenth: each inside its own ball."""
    model, x, y = _victim()
    shares = torch.full((len(x),), 0.1)
    shares[0] = 2.0
    mixed = Threat(threat.norm, threat.eps * shares)
    for name, attack in found.attacks.items():
        if getattr(attack, "many_radii", False):
            attempt(name, attack, model, x, y, mixed, seed=1)  # raises when one has left it
    return ""


def _nothing(found: Suite) -> str:
    masks = _masks(found, Threat(found.norms[0], 0.0))
    if torch.equal(masks[0], masks[-1]):
        return ""
    return "robust accuracy at eps 0 is not natural accuracy"


def _breaks(found: Suite) -> str:
    norm = found.norms[0]
    stand = _masks(found, Threat(norm, _BROKEN[norm]))[-1].float().mean().item()
    return "" if stand <= 0.1 else f"at {norm} {_BROKEN[norm]:g} {stand:.0%} of the images stand"


def _masks(found: Suite, threat: Threat) -> list[Tensor]:
    model, x, y = _victim()
    return [mask for _, mask in found.run(model, x, y, threat, seed=1)]


@dataclass(frozen=True, kw_only=True)
class _Undefended(Method):
    """Natural training."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        """Cross-entropy of unperturbed images."""
        return F.cross_entropy(model(batch.x), batch.y)


def _victim() -> tuple[nn.Module, Tensor, Tensor]:
    """An undefended network in eval mode and a few test images."""
    model = tiny.classifier()
    model.load_state_dict(_weights())
    test = tiny.data().test
    return model.eval(), test.x(slice(16)), test.y[:16]


@cache
def _weights() -> dict[str, Tensor]:
    threat = Threat("Linf", float(tiny.FACTS.eps["Linf"]))
    recipe = replace(tiny.RECIPE, epochs=3)
    trained = train(
        _Undefended(), tiny.classifier, tiny.data(), recipe, threat, 0, lambda event: None
    )
    return {name.removeprefix("model."): value for name, value in trained.last.tensors.items()}
