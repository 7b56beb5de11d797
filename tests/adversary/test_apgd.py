"""Auto-PGD: AutoAttack's verdicts, closed forms, its schedule and its passes."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.apgd import APGD, TargetedAPGD, _checkpoints
from robench.adversary.attack import Attack
from robench.adversary.gradient import expected, gradient
from robench.adversary.losses import LOSSES, LossName, margin
from robench.models.passes import counted
from robench.radius import NORMS, Norm
from robench.threat import Threat
from tests.adversary.conftest import (
    Rounded,
    Steady,
    Victim,
    agree,
    asked,
    autoattack,
    bent,
    finds_what_there_is,
    obeys,
    same_path,
    takes_radii,
    undecided,
    work,
)

SHORT = (APGD(steps=12), APGD(loss="dlr", steps=12, restarts=2), TargetedAPGD(steps=12))
KINDS = pytest.mark.parametrize("attack", SHORT, ids=["ce", "dlr", "targeted"])


def test_apgd_gives_autoattacks_verdicts(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(APGD(), autoattack("apgd-ce", monkeypatch), victim)


def test_targeted_apgd_gives_autoattacks_verdicts(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(TargetedAPGD(), autoattack("apgd-t", monkeypatch), victim)


def package(steps: int, loss: LossName, restarts: int = 1) -> Attack:
    """AutoAttack's APGD."""
    base = pytest.importorskip("pyautoattack.autopgd_base")
    name = {"cross-entropy": "ce"}.get(loss, loss)

    def attack(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        apgd = base.APGDAttack(
            model, n_iter=steps, norm=threat.norm, n_restarts=restarts, eps=threat.eps,
            seed=torch.initial_seed(), loss=name,
        )  # fmt: skip
        with torch.no_grad():
            return apgd.perturb(x, y)

    return attack


@pytest.mark.parametrize("steps", [4, 20])
@pytest.mark.parametrize("loss", ["cross-entropy", "dlr"])
def test_every_iterate_is_autoattacks(steps: int, loss: LossName, survivor: Victim) -> None:
    there = asked(package(steps, loss), survivor)[1:]  # it looks at the image first
    same_path(asked(APGD(loss=loss, steps=steps), survivor), there)


@pytest.mark.parametrize("steps", [1, 9])
@pytest.mark.parametrize("loss", ["cross-entropy", "dlr"])
def test_verdicts_agree_at_any_number_of_steps_and_restarts(
    steps: int, loss: LossName, victim: Victim
) -> None:
    own, other = APGD(loss=loss, steps=steps, restarts=2), package(steps, loss, restarts=2)
    assert torch.equal(*(victim.stands(victim.attacked(attack)) for attack in (own, other)))


@given(st.integers(0, 1000), st.integers(1, 30), st.sampled_from(NORMS))
@hypothesis_settings(max_examples=30)
def test_verdicts_agree_where_the_loss_falls_as_often_as_it_rises(
    seed: int, steps: int, norm: Norm
) -> None:
    torch.manual_seed(seed)
    model, x = bent(12, 5, factor=10), torch.rand(128, 3, 2, 2)
    victim = Victim(model, x, model(x).argmax(1), Threat(norm, {"Linf": 0.03, "L2": 0.06}[norm]))
    attacks: tuple[Attack, Attack] = APGD(steps=steps), package(steps, "cross-entropy")
    own, other = (victim.stands(victim.attacked(attack)) for attack in attacks)
    assert (own != other).sum() <= 1  # where paths part by rounding


def test_checkpoints_are_the_papers() -> None:
    assert [step for step, _ in _checkpoints(100)] == [22, 41, 57, 70, 80, 87, 93, 99]
    assert [gap for _, gap in _checkpoints(100)] == [22, 19, 16, 13, 10, 7, 6, 6]


def test_checkpoints_follow_autoattacks_loop_for_any_number_of_steps() -> None:
    for steps in range(1, 300):
        gap, since, expected = max(int(0.22 * steps), 1), 0, []
        for step in range(1, steps + 1):
            since += 1
            if since == gap:
                expected.append((step, gap))
                gap = max(gap - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
                since = 0
        assert list(_checkpoints(steps)) == expected


@KINDS
def test_keeps_the_rules(attack: Attack, victim: Victim) -> None:
    obeys(attack, victim)


@KINDS
def test_every_image_may_have_its_own_radius(attack: Attack, victim: Victim) -> None:
    takes_radii(attack, victim)


@given(st.integers(0, 1000), st.sampled_from(NORMS), st.integers(2, 5))
@hypothesis_settings(max_examples=12)
def test_finds_what_there_is_in_a_linear_model(seed: int, norm: Norm, classes: int) -> None:
    """Untargeted ascent may climb towards the wrong one of several classes, but not of two."""
    finds_what_there_is(TargetedAPGD(steps=30), classes, seed, norm)
    finds_what_there_is(APGD(steps=30), 2, seed, norm)


@given(st.integers(0, 1000), st.sampled_from([1, 10, 25]), st.sampled_from(NORMS))
@hypothesis_settings(max_examples=30)
def test_only_wrong_images_are_changed(seed: int, steps: int, norm: Norm) -> None:
    """On networks that bend so much that the loss often falls, and wrong answers come and go."""
    torch.manual_seed(seed)
    model, x = bent(12, 5, factor=20), torch.rand(256, 3, 2, 2)
    y = model(x).argmax(1)
    threat = Threat(norm, {"Linf": 0.03, "L2": 0.06}[norm])
    for attack in (APGD(steps=steps), TargetedAPGD(steps=steps)):
        x_adv = attack(model, x, y, threat)
        changed = (x_adv != x).flatten(1).any(1)
        assert torch.equal(changed, model(x_adv).argmax(1) != y)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_few_classes_will_do(loss: LossName, classes: int) -> None:
    torch.manual_seed(0)
    model, _, x, y = undecided(classes, (3, 4, 4))
    x_adv = APGD(loss=loss, steps=10)(model, x, y, Threat("Linf", 0.1))
    assert (model(x_adv).argmax(1) != y).all()


def test_at_radius_zero_and_on_no_images_nothing_happens(victim: Victim) -> None:
    for attack in SHORT:
        assert torch.equal(victim.attacked(attack, threat=Threat("Linf", 0.0)), victim.x)
        assert victim.few(0).attacked(attack).shape == (0, 3, 8, 8)


def test_more_restarts_and_more_targets_break_what_fewer_break(victim: Victim) -> None:
    targeted: list[Attack] = [TargetedAPGD(steps=5, targets=targets) for targets in (1, 2, 9)]
    restarted: list[Attack] = [APGD(steps=3, restarts=restarts) for restarts in (1, 4)]
    for few, more in (*itertools.pairwise(targeted), *itertools.pairwise(restarted)):
        stands, still = (victim.stands(victim.attacked(attack)) for attack in (few, more))
        assert not (still & ~stands).any()


@pytest.mark.parametrize("loss", ["dlr", "scale-invariant", "margin"])
def test_no_scale_of_the_logits_hides_an_image(loss: LossName, victim: Victim) -> None:
    """The cross-entropy of logits times 10,000 has no gradient; these losses do not mind."""

    class Loud(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1e4 * victim.model(x)

    loud = Victim(Loud(), victim.x, victim.y, victim.threat)
    as_it_is, scaled = (v.stands(v.attacked(APGD(loss=loss, steps=30))) for v in (victim, loud))
    assert (as_it_is != scaled).sum() <= 1
    assert loud.stands(loud.attacked(APGD(steps=30))).sum() > scaled.sum()


@given(st.integers(1, 30), st.sampled_from(["Linf", "L2"]), st.integers(2, 5))
@hypothesis_settings(max_examples=12)
def test_passes_of_an_image_that_nothing_breaks(steps: int, norm: Norm, classes: int) -> None:
    model, x, y = Steady(classes), torch.full((1, 3, 8, 8), 0.4), torch.zeros(1, dtype=torch.long)
    threat = Threat(norm, 0.2)
    passes = work(APGD(steps=steps), model, x, y, threat)
    assert (passes.forwards, passes.backwards) == (steps + 1, steps + 1)
    passes = work(APGD(steps=steps, restarts=2, draws=4), model, x, y, threat)
    assert (passes.forwards, passes.backwards) == (8 * (steps + 1), 8 * (steps + 1))
    passes = work(TargetedAPGD(steps=steps, targets=3), model, x, y, threat)
    ascents = min(3, classes - 1) * (steps + 1)
    assert (passes.forwards, passes.backwards) == (ascents + 1, ascents)


def test_a_broken_image_costs_nothing_more(victim: Victim) -> None:
    with counted(victim.model) as passes:
        x_adv = victim.attacked(APGD(steps=12))
    stand = int(victim.stands(x_adv).sum())
    assert 13 * stand < passes.forwards < 13 * len(victim.x)


class Noisy(nn.Module):
    """A model that adds noise to its input and squares it: two classes."""

    def forward(self, x: Tensor) -> Tensor:
        z = ((x + 0.1 * torch.randn_like(x)) ** 2).mean((1, 2, 3)) - 0.3
        return torch.stack([-z, z], dim=1)


def test_draws_average_gradients_and_are_counted() -> None:
    x, y, model = torch.full((3, 3, 8, 8), 0.4), torch.tensor([0, 1, 0]), Noisy()
    torch.manual_seed(1)
    single = [gradient(model, x, margin, y)[2] for _ in range(4)]
    torch.manual_seed(1)
    logits, values, mean = expected(model, x, margin, y, draws=4)
    assert torch.allclose(mean, torch.stack(single).mean(0), atol=1e-7)
    assert torch.allclose(values, torch.stack([margin(draw, y) for draw in logits]).mean(0))
    assert not logits.requires_grad
    assert not x.requires_grad
    with counted(model) as passes:
        expected(model, x, margin, y, draws=4)
    assert (passes.forwards, passes.backwards) == (12, 12)


def test_gradients_that_are_not_finite_count_as_zero() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :2].sqrt()

    x = torch.tensor([0.0, 0.25, 0.5]).view(1, 3, 1, 1)
    _, values, grad = gradient(Root(), x, lambda logits, _: logits.sum(1), x)
    assert torch.equal(grad.flatten(), torch.tensor([0.0, 1.0, 0.0]))
    assert values.item() == 0.5


@KINDS
@pytest.mark.parametrize("norm", NORMS)
def test_zero_gradients_break_nothing(attack: Attack, norm: Norm) -> None:
    x, y = torch.full((4, 3, 8, 8), 0.5), torch.zeros(4, dtype=torch.long)
    threat = Threat(norm, {"Linf": 0.13, "L2": 1.5}[norm])
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
def test_works_where_gradients_are_switched_off(attack: Attack, victim: Victim) -> None:
    with torch.no_grad():
        x_adv = victim.few(8).attacked(attack)
        assert not torch.is_grad_enabled()
    assert torch.equal(x_adv, victim.few(8).attacked(attack))
