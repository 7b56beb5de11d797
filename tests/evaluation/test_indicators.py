"""Each indicator goes up where an attack fails in its way, and none on honest networks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.attack import Attack
from robench.adversary.losses import LossName, cross_entropy
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.square import Square
from robench.adversary.suite import Suite
from robench.errors import ConfigError
from robench.evaluation.indicators.catalogue import BINARISATION, INDICATORS
from robench.evaluation.indicators.indicators import (
    LAST,
    Indication,
    incomplete,
    indicators,
    rightly,
    rise,
    silent,
    transfer,
)
from robench.evaluation.indicators.trace import Audited, Trace, believed
from robench.models.classifier import Network
from robench.seeds import seeded
from robench.threat import Threat
from tests import controls
from tests.controls import CONTROLS, THREAT

STRONG = APGD(steps=20)
EARLY = PGDAttack(pgd=PGD(steps=20, step_size=0.004, start="none"))
"""It is less than half way when its steps are over."""

IMAGES = 20


@dataclass(frozen=True, kw_only=True)
class Last:
    """PGD as it is often written: what the last step leaves is what comes back."""

    loss: LossName = "cross-entropy"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        return PGD(steps=20)(model, x, y, threat)


@dataclass(frozen=True, kw_only=True)
class Forgetful(Last):
    """It finds what it looks for, and gives back what it was given."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        super().__call__(model, x, y, threat)
        return x


def audited(
    model: nn.Module,
    attack: Attack = STRONG,
    threat: Threat = THREAT,
    surrogate: nn.Module | None = None,
    seed: int = 0,
) -> Audited:
    test = controls.digits().test.first(3 * IMAGES)
    x, y = test.x(), test.y
    with seeded(0):
        chosen = rightly(model, x, y, IMAGES)
    return Audited(model, surrogate or model, attack, x[chosen], y[chosen], threat, seed)


def up(found: dict[str, Indication]) -> set[str]:
    return {name for name, shown in found.items() if shown.finding.status == "up"}


def sound(found: dict[str, Indication]) -> None:
    assert list(found) == [name for name in INDICATORS if name != BINARISATION]
    for shown in found.values():
        assert ((shown.values >= 0) & (shown.values <= 1)).all()
        assert shown.finding.detail


@pytest.mark.parametrize("threat", [THREAT, Threat("L2", 3 / 4)], ids=["Linf", "L2"])
@pytest.mark.parametrize("make", [controls.natural, controls.beginner, controls.madry])
def test_none_is_up_on_an_honest_network(make: Callable[[], Network], threat: Threat) -> None:
    found = indicators(audited(make(), threat=threat))
    sound(found)
    assert up(found) == set(), {name: shown.finding for name, shown in found.items()}


ZOO: dict[str, tuple[str, set[str]]] = {
    "unavailable-gradients": ("saturated softmax", {"unconstrained-failure"}),
    "unstable-predictions": ("k winners", set()),
    "unconstrained-failure": ("gradient reversed", set()),
}


@pytest.mark.parametrize("name", ZOO)
def test_one_goes_up_on_its_control(name: str) -> None:
    control, others = ZOO[name]
    found = indicators(audited(CONTROLS[control].make()))
    sound(found)
    assert up(found) == {name} | others


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("logits x 10,000", {"unavailable-gradients", "unconstrained-failure"}),
        ("rounded", {"unavailable-gradients", "unconstrained-failure"}),
        ("constant", {"unavailable-gradients", "unconstrained-failure"}),
        ("noise", {"unstable-predictions"}),
        ("resize", {"unstable-predictions"}),
    ],
)
def test_others_of_the_zoo_are_seen(control: str, expected: set[str]) -> None:
    found = indicators(audited(CONTROLS[control].make()))
    sound(found)
    assert expected <= up(found)


def test_a_loss_that_does_not_saturate_mends_what_large_logits_hide() -> None:
    found = indicators(audited(CONTROLS["logits x 10,000"].make(), replace(STRONG, loss="margin")))
    assert up(found) == set()


def test_success_is_silent_where_what_was_found_does_not_come_back() -> None:
    model = controls.natural()
    assert up(indicators(audited(model, Forgetful()))) == {"silent-success"}
    kept = indicators(audited(model, PGDAttack(pgd=PGD(steps=20))))
    assert kept["silent-success"].value == 0


def test_an_attack_that_ends_too_early_is_seen_on_an_honest_network() -> None:
    found = indicators(audited(controls.madry(), EARLY))
    assert up(found) == {"incomplete-optimisation"}
    assert len(found["incomplete-optimisation"].values) > IMAGES / 2


def test_what_was_aimed_at_another_model_is_seen() -> None:
    found = indicators(audited(controls.madry(), surrogate=controls.natural()))
    assert up(found) == {"transfer-failure"}


def test_one_seed_is_one_result() -> None:
    one, again, other = (
        indicators(audited(CONTROLS["noise"].make(), seed=seed)) for seed in (3, 3, 4)
    )
    same = [torch.equal(one[name].values, again[name].values) for name in one]
    assert all(same)
    assert [shown.finding for shown in one.values()] == [s.finding for s in again.values()]
    name = "unstable-predictions"
    assert not torch.equal(one[name].values, other[name].values)


@pytest.mark.parametrize("attack", [STRONG, PGDAttack(pgd=PGD(steps=5)), Last()])
def test_a_trace_is_what_the_attack_asked(attack: Attack) -> None:
    asked = audited(controls.madry(), attack)
    for trace in asked.traces():
        assert trace.losses.shape == trace.wrong.shape
        assert trace.fooled == trace.fell
        if not isinstance(attack, Last):  # these stop at the first wrong one
            assert not trace.wrong[:-1].any()
            assert trace.wrong[-1] == trace.fooled
            full = 21 if isinstance(attack, APGD) else 6
            assert trace.fooled or len(trace.losses) == full


def test_a_trace_holds_the_losses_of_its_iterates() -> None:
    asked = audited(controls.madry(), Last())
    seen, x, y = list[Tensor](), asked.x[:1], asked.y[:1]

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                seen.append(x.detach())
            return controls.madry()(x)

    found = replace(asked, surrogate=Watched().eval(), x=x, y=y).traces()[0]
    losses = torch.cat([cross_entropy(controls.madry()(x), y) for x in seen]).detach()
    assert torch.equal(found.losses, losses)


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ConfigError, match="TargetedAPGD raises no loss"):
        indicators(audited(controls.natural(), TargetedAPGD()))
    with pytest.raises(ConfigError, match="no attack that raises a loss"):
        believed(Suite({"square": Square()}))
    name, attack = believed(Suite({"square": Square(), "apgd-t": TargetedAPGD(), "b": STRONG}))
    assert (name, attack) == ("b", STRONG)

    class Still(Last):
        def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
            return x

    with pytest.raises(ConfigError, match="Still asks for no gradient"):
        indicators(audited(controls.natural(), Still()))


def trace(
    losses: list[float], *, wrong: bool = False, fooled: bool = False, fell: bool = False
) -> Trace:
    return Trace(torch.tensor(losses), torch.tensor([wrong] * len(losses)), fooled, fell)


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=40))
def test_a_rise_is_the_slow_loops(losses: list[float]) -> None:
    best, highest = [], -torch.inf
    for loss in losses:
        highest = max(highest, loss)
        best.append(highest)
    last, spread = best[-LAST:], max(losses) - min(losses)
    expected = (max(last) - min(last)) / spread if spread else 0
    found = rise(torch.tensor(losses, dtype=torch.float64))
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0 <= found <= 1


def test_what_traces_say() -> None:
    rising, flat = [float(i) for i in range(30)], [0.0] + [1.0] * 29
    assert rise(torch.tensor(rising)) == pytest.approx(9 / 29)
    assert rise(torch.tensor(flat)) == 0
    assert incomplete([trace(rising)] * 12).finding.status == "up"
    assert incomplete([trace(flat)] * 12).finding.status == "ok"
    fell = incomplete([trace(rising, fooled=True, fell=True)] * 12)
    assert (fell.finding.status, len(fell.values)) == ("ok", 0)
    assert fell.value != fell.value  # it is about no image
    assert silent([trace(flat, wrong=True)] * 12).finding.status == "up"
    assert silent([trace(flat, wrong=True, fooled=True)] * 12).finding.status == "ok"
    assert transfer([trace(flat, fooled=True)] * 12).finding.status == "up"
    assert transfer([trace(flat, fooled=True, fell=True)] * 12).finding.status == "ok"


def test_every_indicator_is_explained() -> None:
    for number, flag in enumerate(list(INDICATORS.values())[:6], 1):
        assert f"(F{number})" in flag.why
        assert flag.remedy.startswith(f"M{number}: ")
