"""Auto-PGD in L1, and AutoAttack's version there: its iterates, verdicts, steps and passes."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary import packages, sparse
from robench.adversary.apgd import APGD
from robench.adversary.attack import Attack
from robench.adversary.fab import FAB, TargetedFAB
from robench.adversary.packages import AutoAttack
from robench.adversary.sparse import SparseAPGD, TargetedSparseAPGD, sparse_step
from robench.adversary.square import Square
from robench.adversary.standard import RAND_L1, STANDARD, STANDARD_L1
from robench.adversary.suite import Suite
from robench.errors import PluginError
from robench.radius import BALLS
from robench.threat import Threat, per_image
from tests.adversary.conftest import (
    Steady,
    Victim,
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
from tests.conftest import Unsure

SHORT = (
    SparseAPGD(steps=12, restarts=1),
    SparseAPGD(loss="dlr", steps=12, restarts=2),
    TargetedSparseAPGD(steps=12),
)
KINDS = pytest.mark.parametrize("attack", SHORT, ids=["ce", "dlr", "targeted"])


@pytest.fixture(scope="session", params=["trained", "unsure"])
def in_l1(
    request: pytest.FixtureRequest, trained: tuple[nn.Module, Tensor, Tensor], unsure: Unsure
) -> Victim:
    """The two networks at L1 radii at which about half of their images fall."""
    model, x, y = trained
    if request.param == "unsure":
        model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
        right = (model(x).argmax(1) == y).nonzero().squeeze(1)[:24]
        x, y = x[right], y[right]
    return Victim(model, x, y, Threat("L1", {"trained": 11.0, "unsure": 0.75}[request.param]))


def package(steps: int, restarts: int = 1) -> Attack:
    """AutoAttack's APGD with its larger radii first."""
    base = pytest.importorskip("pyautoattack.autopgd_base")

    def attack(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        apgd = base.APGDAttack(
            model, n_iter=steps, norm="L1", n_restarts=restarts, eps=threat.eps,
            seed=torch.initial_seed(), loss="ce", use_largereps=True,
        )  # fmt: skip
        with torch.no_grad():
            return apgd.perturb(x, y)

    return attack


def packages_projection(threat: Threat, x_adv: Tensor, x: Tensor) -> Tensor:
    base = pytest.importorskip("pyautoattack.autopgd_base")
    return x + (x_adv - x) + base.L1_projection(x, x_adv - x, per_image(threat.eps, x).flatten())


def packages_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its projection, numbers that come back to the image's still count as perturbed.

    It has its first start projected twice, which is once by ours. And it rounds up how many numbers
    a step changes, so that there never comes to be a single one.
    """
    starts = [2]

    def project(threat: Threat, x_adv: Tensor, x: Tensor) -> Tensor:
        for _ in range(starts.pop() if starts else 1):
            x_adv = packages_projection(threat, x_adv, x)
        return x_adv.clamp(0, 1)

    def fewer(perturbed: Tensor) -> Tensor:
        size = 3 * 8 * 8
        return size - ((1 - perturbed / size / 1.5) * size).clamp(0, size - 1).long()

    monkeypatch.setattr(Threat, "project", project)
    monkeypatch.setattr(sparse, "_fewer", fewer)


@pytest.mark.parametrize("steps", [10, 20])
def test_every_iterate_is_autoattacks_with_its_rounding(
    steps: int, in_l1: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(in_l1, threat=Threat("L1", 0.25)).few(12)
    stands = small.stands(small.attacked(SparseAPGD(steps=60, restarts=2)))
    steady = replace(small, x=small.x[stands], y=small.y[stands])
    there = asked(package(steps), steady)[1:]  # it looks at the image first
    packages_rounding(monkeypatch)
    same_path(asked(SparseAPGD(steps=steps, restarts=1), steady), there)


def test_so_are_its_verdicts(in_l1: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    other = in_l1.stands(in_l1.attacked(package(16)))
    packages_rounding(monkeypatch)
    stand = in_l1.stands(in_l1.attacked(SparseAPGD(steps=16, restarts=1)))
    assert (stand != other).sum() <= 1  # where paths part by rounding
    assert 0 < stand.sum() < len(stand)


def test_and_nearly_agree_with_ours(in_l1: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = {"n_iter": 20, "n_restarts": 1, "n_target_classes": 2}
    monkeypatch.setattr(packages, "IN_L1", {"apgd-t": {"apgd_targeted": budget}})
    stand, other = (
        in_l1.stands(in_l1.attacked(attack))
        for attack in (
            TargetedSparseAPGD(steps=20, targets=2), autoattack("apgd-t", monkeypatch)
        )
    )  # fmt: skip
    assert abs(int(stand.sum()) - int(other.sum())) <= 2
    assert 0 < stand.sum() < len(stand)


@pytest.mark.parametrize("targeted", [False, True])
def test_fabs_iterates_are_autoattacks(targeted: bool, in_l1: Victim) -> None:
    package = pytest.importorskip("pyautoattack.fab_pt")
    steps, steady = 8, replace(in_l1, threat=Threat("L1", 0.01)).few(12)

    def other(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        x_adv = package.FABAttack_PT(
            model, norm="L1", n_iter=steps, eps=threat.eps, targeted=targeted,
            n_target_classes=1, device="cpu", seed=5,
        ).perturb(x, y)  # fmt: skip
        assert (threat.distance(x_adv, x)[(x_adv != x).flatten(1).any(1)] > 0.01).all()
        return x

    own = TargetedFAB(steps=steps, targets=1) if targeted else FAB(steps=steps)
    there = asked(other, steady)[3 if targeted else 2 :]  # it looks at the image first
    same_path(asked(own, steady), there[: 2 * steps])


def test_squares_queries_are_autoattacks(in_l1: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a new bump and an old one cancel to nothing but rounding, which is then stretched."""
    base = pytest.importorskip("pyautoattack.square")

    def other(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        square = base.SquareAttack(
            model, norm="L1", n_queries=12, eps=threat.eps, seed=5, resc_schedule=False
        )
        with torch.no_grad():
            return square.perturb(x, y)

    steady = replace(in_l1, threat=Threat("L1", 0.1)).few(12)
    there = asked(other, steady)[1:-1]  # it looks at the image first and last
    monkeypatch.setattr(Threat, "project", packages_projection)
    first, _, *here = asked(Square(queries=12), steady)  # it looks at its start twice
    same_path([first, *here], there)


@pytest.mark.parametrize(
    "attack", [TargetedFAB(steps=8), Square(queries=40)], ids=["fab", "square"]
)
def test_fab_and_square_keep_the_rules_in_l1(attack: Attack, in_l1: Victim) -> None:
    wide = in_l1.wider(2.0 if isinstance(attack, Square) else 1.1)
    obeys(attack, wide)
    takes_radii(attack, wide)


@KINDS
def test_keeps_the_rules(attack: Attack, in_l1: Victim) -> None:
    obeys(attack, in_l1.wider(1.1))


@KINDS
def test_every_image_may_have_its_own_radius(attack: Attack, in_l1: Victim) -> None:
    takes_radii(attack, in_l1)


@pytest.mark.parametrize("attack", [SHORT[0], Square(queries=40)], ids=["apgd", "square"])
def test_every_last_query_is_in_the_ball_and_the_box(attack: Attack, in_l1: Victim) -> None:
    far = replace(in_l1, threat=Threat("L1", 0.2))
    looked = asked(attack, replace(far, model=Steady(4), y=torch.zeros_like(far.y)))
    last = looked[-5:] if isinstance(attack, SparseAPGD) else looked
    for x_adv in last:
        assert (far.threat.distance(x_adv, far.x) <= 0.2 + 1e-5).all()
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1


def test_larger_radii_come_first(in_l1: Victim) -> None:
    steady = replace(in_l1, model=Steady(4), y=torch.zeros_like(in_l1.y), threat=Threat("L1", 1.0))
    looked = asked(SparseAPGD(steps=10, restarts=1), steady)
    far = [steady.threat.distance(x_adv, steady.x).max().item() for x_adv in looked]
    for times, part in ((3, far[:4]), (2, far[4:8]), (1, far[8:])):  # 3, 3 and 4 steps
        assert all(distance <= times + 1e-4 for distance in part)
        assert max(part) == pytest.approx(times, rel=1e-4)


@given(st.integers(0, 1000), st.integers(1, 60))
def test_a_step_changes_the_largest_entries_by_one_in_all(seed: int, size: int) -> None:
    g = torch.Generator().manual_seed(seed)
    grad = torch.randn(5, 1, 1, size, generator=g)
    count = torch.randint(1, size + 1, (5,), generator=g)
    step = sparse_step(grad, count)
    assert torch.equal((step != 0).flatten(1).sum(1), count)
    assert torch.allclose(step.abs().flatten(1).sum(1), torch.ones(5))
    for row, alike, number in zip(step.flatten(1), grad.flatten(1), count, strict=True):
        kept = alike.abs().topk(int(number)).indices
        assert torch.equal(row[kept].sign(), alike[kept].sign())
        assert len(row[kept].abs().unique()) == 1


def test_a_step_keeps_what_is_as_large_and_leaves_zeros() -> None:
    grad = torch.tensor([[2.0, -2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]])
    step = sparse_step(grad.view(3, 1, 2, 2), torch.tensor([1, 2, 3])).flatten(1)
    expected = torch.tensor([[0.5, -0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert torch.equal(step, expected)


@given(st.integers(0, 1000), st.integers(2, 5))
@hypothesis_settings(max_examples=4)
def test_finds_what_there_is_in_a_linear_model(seed: int, classes: int) -> None:
    """Untargeted ascent may climb towards the wrong one of several classes, but not of two."""
    finds_what_there_is(TargetedSparseAPGD(steps=30), classes, seed, "L1")
    if classes == 2:
        finds_what_there_is(SparseAPGD(steps=30), classes, seed, "L1")


@given(st.integers(0, 1000), st.sampled_from([1, 2, 10, 25]))
@hypothesis_settings(max_examples=6)
def test_only_wrong_images_are_changed(seed: int, steps: int) -> None:
    """On networks that bend so much that the loss often falls, and wrong answers come and go."""
    torch.manual_seed(seed)
    model, x = bent(12, 5, factor=20), torch.rand(128, 3, 2, 2)
    y = model(x).argmax(1)
    for attack in (SparseAPGD(steps=steps, restarts=2), TargetedSparseAPGD(steps=steps)):
        x_adv = attack(model, x, y, Threat("L1", 0.1))
        changed = (x_adv != x).flatten(1).any(1)
        assert torch.equal(changed, model(x_adv).argmax(1) != y)


def test_stronger_than_steps_along_a_twentieth_of_the_pixels(in_l1: Victim) -> None:
    """Auto-PGD with L1 steps of one sparsity, as training has them."""
    own, other = SparseAPGD(steps=40, restarts=1), APGD(steps=40)
    assert in_l1.stands(in_l1.attacked(own)).sum() <= in_l1.stands(in_l1.attacked(other)).sum()


def test_more_restarts_and_more_targets_break_what_fewer_break(in_l1: Victim) -> None:
    targeted: list[Attack] = [TargetedSparseAPGD(steps=5, targets=count) for count in (1, 2, 9)]
    restarted: list[Attack] = [SparseAPGD(steps=3, restarts=count) for count in (1, 4)]
    for few, more in (*itertools.pairwise(targeted), *itertools.pairwise(restarted)):
        stands, still = (in_l1.stands(in_l1.attacked(attack)) for attack in (few, more))
        assert not (still & ~stands).any()


def test_at_radius_zero_and_on_no_images_nothing_happens(in_l1: Victim) -> None:
    for attack in SHORT:
        assert torch.equal(in_l1.attacked(attack, threat=Threat("L1", 0.0)), in_l1.x)
        assert in_l1.few(0).attacked(attack).shape == (0, 3, 8, 8)


@given(st.integers(1, 30), st.integers(2, 5))
@hypothesis_settings(max_examples=4)
def test_passes_of_an_image_that_nothing_breaks(steps: int, classes: int) -> None:
    """A step each, and a look at where each of three radii begins."""
    model, x, y = Steady(classes), torch.full((1, 3, 8, 8), 0.4), torch.zeros(1, dtype=torch.long)
    threat = Threat("L1", 0.2)
    passes = work(SparseAPGD(steps=steps, restarts=2, draws=4), model, x, y, threat)
    assert (passes.forwards, passes.backwards) == (8 * (steps + 3), 8 * (steps + 3))
    passes = work(TargetedSparseAPGD(steps=steps, targets=3), model, x, y, threat)
    ascents = min(3, classes - 1) * (steps + 3)
    assert (passes.forwards, passes.backwards) == (ascents + 1, ascents)


@KINDS
def test_zero_gradients_break_nothing(attack: Attack) -> None:
    x, y = torch.full((4, 3, 8, 8), 0.5), torch.zeros(4, dtype=torch.long)
    assert torch.equal(attack(Steady(3, share=0.0), x, y, Threat("L1", 5.0)), x)


@KINDS
def test_gradients_and_modes_are_left_alone(attack: Attack) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).train()
    with torch.no_grad():
        attack(model, torch.rand(8, 3, 8, 8), torch.arange(8) % 4, Threat("L1", 1.0))
        assert not torch.is_grad_enabled()
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert model.training


def test_few_classes_will_do() -> None:
    torch.manual_seed(0)
    for classes in (2, 3):
        model, _, x, y = undecided(classes, (3, 4, 4))
        for attack in SHORT:
            assert (model(attack(model, x, y, Threat("L1", 6.0))).argmax(1) != y).all()


FULL_L1 = {**STANDARD_L1}
THEIRS: dict[str, Attack] = {
    "apgd-ce": AutoAttack("apgd-ce"), "apgd-t": AutoAttack("apgd-t"),
    "fab-t": AutoAttack("fab-t"), "square": AutoAttack("square"),
}  # fmt: skip


def test_a_verdict_in_l1_rests_on_what_was_published_for_l1() -> None:
    for attacks in (FULL_L1, THEIRS, {**FULL_L1, "apgd-ce": SparseAPGD(restarts=6)}):
        Suite(attacks, verdict="full", norms=("L1",))
    Suite(THEIRS, verdict="full", norms=BALLS)
    Suite(RAND_L1, verdict="stochastic", norms=("L1",))
    for less, norms in (
        (STANDARD, ("L1",)),
        (STANDARD, BALLS),
        (FULL_L1, BALLS),
        (FULL_L1, ("Linf",)),
        ({**FULL_L1, "apgd-ce": SparseAPGD(restarts=4)}, ("L1",)),
        ({**FULL_L1, "apgd-t": TargetedSparseAPGD(steps=99)}, ("L1",)),
        ({**FULL_L1, "square": Square(queries=500)}, ("L1",)),
    ):
        with pytest.raises(PluginError, match="only AutoAttack's attacks at their published"):
            Suite(less, verdict="full", norms=norms)
    with pytest.raises(PluginError, match="may call themselves stochastic"):
        Suite({"apgd-ce": SparseAPGD(draws=10)}, verdict="stochastic", norms=("L1",))
