"""FAB: AutoAttack's verdicts, the distances of linear models, and its passes."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.fab import FAB, TargetedFAB
from robench.adversary.losses import margin
from robench.radius import BALLS, NORMS, Norm
from robench.threat import Threat
from tests.adversary.conftest import (
    Rounded,
    Steady,
    Victim,
    agree,
    asked,
    autoattack,
    finds_what_there_is,
    obeys,
    same_path,
    takes_radii,
    undecided,
    work,
)

SHORT = (FAB(steps=6, restarts=2), TargetedFAB(steps=8))
KINDS = pytest.mark.parametrize("attack", SHORT, ids=["nearest", "targeted"])


def test_targeted_fab_gives_autoattacks_verdicts(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(TargetedFAB(), autoattack("fab-t", monkeypatch), victim.few(32))


@pytest.mark.parametrize("steps", [1, 6])
def test_verdicts_agree_at_any_number_of_steps_with_and_without_target(
    steps: int, victim: Victim
) -> None:
    package = pytest.importorskip("pyautoattack.fab_pt")
    for targeted, own in ((False, FAB(steps=steps)), (True, TargetedFAB(steps=steps, targets=2))):

        def other(
            model: nn.Module, x: Tensor, y: Tensor, threat: Threat, targeted: bool = targeted
        ) -> Tensor:
            return package.FABAttack_PT(
                model, norm=threat.norm, n_iter=steps, eps=threat.eps, targeted=targeted,
                n_target_classes=2, device="cpu", seed=5,
            ).perturb(x, y)  # fmt: skip

        there, here = victim.attacked(other), victim.attacked(own)
        near = victim.threat.distance(there, victim.x) <= victim.threat.eps
        assert torch.equal(~victim.stands(here), ~victim.stands(there) & near)


@pytest.mark.parametrize("targeted", [False, True])
def test_every_iterate_is_autoattacks(targeted: bool, survivor: Victim) -> None:
    package = pytest.importorskip("pyautoattack.fab_pt")
    steps = 15

    def other(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        return package.FABAttack_PT(
            model, norm=threat.norm, n_iter=steps, eps=threat.eps, targeted=targeted,
            n_target_classes=1, device="cpu", seed=5,
        ).perturb(x, y)  # fmt: skip

    own = TargetedFAB(steps=steps, targets=1) if targeted else FAB(steps=steps)
    there = asked(other, survivor)[3 if targeted else 2 :]  # it looks at the image first
    same_path(asked(own, survivor), there[: 2 * steps])


def test_restarts_begin_at_random_half_way_out(survivor: Victim) -> None:
    queries, eps = asked(FAB(steps=3, restarts=3), survivor), survivor.threat.eps
    assert torch.equal(queries[0], survivor.x)
    one, other = queries[6], queries[12]
    assert not torch.equal(one, other)
    for start in (one, other):
        distance = survivor.threat.distance(start, survivor.x)
        assert (distance <= 0.5 * eps + 1e-6).all()
        assert (distance > 0.3 * eps).all()  # [0, 1] cuts some of it off


@KINDS
def test_keeps_the_rules(attack: Attack, victim: Victim) -> None:
    obeys(attack, victim)


@KINDS
def test_every_image_may_have_its_own_radius(attack: Attack, victim: Victim) -> None:
    takes_radii(attack, victim)


@given(st.integers(0, 1000), st.sampled_from(BALLS), st.integers(2, 5))
@hypothesis_settings(max_examples=18)
def test_finds_what_there_is_in_a_linear_model(seed: int, norm: Norm, classes: int) -> None:
    finds_what_there_is(FAB(steps=10), classes, seed, norm)
    finds_what_there_is(TargetedFAB(steps=10), classes, seed, norm)


@pytest.mark.parametrize("norm", BALLS)
def test_where_all_is_allowed_a_linear_model_falls_just_behind_its_boundary(norm: Norm) -> None:
    torch.manual_seed(0)
    model, head, x, y = undecided(2, (3, 2, 2))
    slope, threat = head.weight[1] - head.weight[0], Threat(norm, 10.0)
    size = {"Linf": slope.abs().sum(), "L2": slope.norm(), "L1": slope.abs().max()}[norm]
    distance = margin(model(x), y).abs() / size
    for attack in (FAB(), TargetedFAB()):
        x_adv = attack(model, x, y, threat)
        assert torch.allclose(threat.distance(x_adv, x), 1.05 * distance, rtol=1e-3)


def test_the_radius_is_no_part_of_the_search(victim: Victim) -> None:
    """What falls in a ball also falls in every larger one: both look for the smallest change."""
    eps = victim.threat.eps
    stands = torch.ones_like(victim.y, dtype=torch.bool)
    for factor in (0.6, 0.9, 1.0, 1.1, 1.5):
        threat = Threat(victim.threat.norm, factor * eps)
        still = victim.stands(victim.attacked(TargetedFAB(steps=10), threat=threat))
        assert not (still & ~stands).any()
        stands = still


def test_at_radius_zero_and_on_no_images_nothing_happens(victim: Victim) -> None:
    for attack in SHORT:
        nowhere = Threat(victim.threat.norm, 0.0)
        assert torch.equal(victim.attacked(attack, threat=nowhere), victim.x)
        assert victim.few(0).attacked(attack).shape == (0, 3, 8, 8)


@given(st.integers(1, 20), st.sampled_from(NORMS), st.integers(2, 5))
@hypothesis_settings(max_examples=12)
def test_passes_of_an_image_that_nothing_breaks(steps: int, norm: Norm, classes: int) -> None:
    model, x, y = Steady(classes), torch.full((1, 3, 8, 8), 0.4), torch.zeros(1, dtype=torch.long)
    threat, targets = Threat(norm, 0.2), min(3, classes - 1)
    passes = work(TargetedFAB(steps=steps, targets=3), model, x, y, threat)
    assert passes.forwards == targets * (2 * steps - 1) + 1  # the first planes are shared
    assert passes.backwards == targets * steps
    passes = work(FAB(steps=steps, restarts=2), model, x, y, threat)
    assert passes.forwards == 2 * 2 * steps
    assert passes.backwards == 2 * steps * (classes - 1)


@KINDS
@pytest.mark.parametrize("norm", BALLS)
def test_zero_gradients_break_nothing(attack: Attack, norm: Norm) -> None:
    x, y = torch.full((4, 3, 8, 8), 0.5), torch.zeros(4, dtype=torch.long)
    threat = Threat(norm, {"Linf": 0.13, "L2": 1.5, "L1": 9.0}[norm])
    for model in (Steady(3, share=0.0), Rounded()):
        torch.manual_seed(5)
        assert torch.equal(attack(model, x, y, threat), x)


@KINDS
def test_gradients_of_parameters_and_modes_are_left_alone(attack: Attack) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).train()
    attack(model, torch.rand(8, 3, 8, 8), torch.arange(8) % 4, Threat("Linf", 0.03))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert model.training


@KINDS
def test_works_where_gradients_are_switched_off(attack: Attack) -> None:
    torch.manual_seed(0)
    model, _, x, y = undecided(3, (3, 4, 4))
    with torch.no_grad():
        x_adv = attack(model, x, y, Threat("Linf", 0.02))
        assert not torch.is_grad_enabled()
    assert torch.equal(x_adv, attack(model, x, y, Threat("Linf", 0.02)))
    assert not torch.equal(x_adv, x)
