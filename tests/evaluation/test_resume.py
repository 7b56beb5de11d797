"""An evaluation that was stopped after any chunk and taken up again ends as if nothing had been."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Audit, Suite, suite
from robench.check import tiny
from robench.evaluation import trial
from robench.evaluation.cost import Cost
from robench.evaluation.evaluate import Evaluated, evaluate
from robench.evaluation.measured import measure
from robench.keeping import State
from robench.threat import Threat
from tests.mortal import Killed, Mortal

THREATS = [Threat("Linf", eps) for eps in (0.0, 0.02, 0.05, 0.1)]
CHUNK = 20
"""Images at once: the tiny task has 64 test images, so an attack takes up to four chunks."""


def attacks() -> dict[str, Attack]:
    """Three of rising strength, each with random starts; in chunks of several radii or one."""
    steps = {"once": 1, "twice": 2, "often": 8}
    return {name: PGDAttack(pgd=PGD(steps=count)) for name, count in steps.items()}


def made(name: str) -> Suite:
    if name == "audit":  # of other attacks than AutoAttack's, which would take minutes
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("robench.adversary.suite.holds", lambda *_: True)
            return Suite(attacks(), "audited", audit=Audit(("twice", "often"), 8))
    return Suite(attacks(), looks=3 if name == "looks" else 1)


class Noisy(nn.Module):
    """A classifier whose logits are never twice the same."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = victim()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits + 0.3 * torch.randn_like(logits)


def victim() -> nn.Module:
    """A copy, on which a test may hang its hooks."""
    return copy.deepcopy(_trained())


@cache
def _trained() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = tiny.classifier()
        data, optimizer = tiny.data().train, torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(25):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.x()), data.y).backward()
            optimizer.step()
    return model.eval()


def attacked(name: str, model: nn.Module, keeper: Mortal | None) -> list[Evaluated]:
    images = tiny.data().test
    stand_in = made("looks") if name == "looks" else None
    return evaluate(
        model, made(name), images, THREATS, 3, lambda *_: None, stand_in=stand_in, keeper=keeper
    )


def interrupted(name: str, model: nn.Module, saves: int, dies: int) -> list[Evaluated]:
    first = Mortal(saves, dies)
    try:
        return attacked(name, model, first)
    except Killed:
        torch.rand(9)
        return attacked(name, model, Mortal(kept=first.kept))


def passes(found: Evaluated) -> dict[str, tuple[int, int]]:
    spent = {**found.costs, "probing": found.probing or Cost()}
    return {name: (cost.forwards, cost.backwards) for name, cost in spent.items()}


def check_same(whole: list[Evaluated], again: list[Evaluated]) -> None:
    for one, other in zip(whole, again, strict=True):
        assert list(one.outcomes.stands) == list(other.outcomes.stands)
        for name, mask in one.outcomes.stands.items():
            assert np.array_equal(mask, other.outcomes.stands[name]), name
        assert np.array_equal(one.outcomes.carried, other.outcomes.carried)
        assert (one.verdict, one.audit, one.chunk) == (other.verdict, other.audit, other.chunk)
        assert one.findings == other.findings
        assert passes(one) == passes(other)


@pytest.mark.usefixtures("short_probes")
@pytest.mark.parametrize("name", ["sweep", "audit", "looks"])
def test_an_evaluation_goes_on_from_any_chunk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CHUNK", CHUNK)
    model = Noisy() if name == "looks" else victim()
    counting = Mortal()
    whole = attacked(name, model, counting)
    assert counting.moment > 12

    @given(saves=st.integers(1, counting.moment), more=st.integers(0, 4))
    @hypothesis_settings(max_examples=8)
    def goes_on(saves: int, more: int) -> None:
        check_same(whole, interrupted(name, model, saves, min(saves + more, counting.moment)))

    goes_on()


def test_what_is_known_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CHUNK", CHUNK)
    model, all_of_it = victim(), Mortal()
    attacked("sweep", model, all_of_it)
    first = Mortal(all_of_it.moment, all_of_it.moment)
    with pytest.raises(Killed):
        attacked("sweep", model, first)
    given = 0

    def count(*_: object) -> None:
        nonlocal given
        given += 1

    model.register_forward_hook(count)
    attacked("sweep", model, Mortal(kept=first.kept))
    assert given <= 2  # `prepared` tries its copy on a few images


def test_measures_go_on_after_the_last_finished_one() -> None:
    data, found, model = tiny.data(), suite("detect"), victim()
    threats = [Threat("Linf", eps) for eps in (0.02, 0.05)]
    (whole, _), first = measure(model, found, data, threats, 1, lambda *_: None), Mortal(1, 2)
    with pytest.raises(Killed):
        measure(model, found, data, threats, 1, lambda *_: None, first)
    kept = Mortal(kept=first.kept)
    known: State | None = kept.load()
    assert known is not None
    assert len(known["entries"]) == 1
    again, _ = measure(model, found, data, threats, 1, lambda *_: None, kept)
    for name, reading in whole.readings.items():
        assert repr(reading.values) == repr(again.readings[name].values)  # some are NaN
    for name, values in whole.outcomes.measured.items():
        assert np.array_equal(values, again.outcomes.measured[name], equal_nan=True)
