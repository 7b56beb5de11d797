"""Square Attack: AutoAttack's verdicts and shapes, what it does not ask again, and its passes."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.attack import Attack
from robench.adversary.fab import FAB, TargetedFAB
from robench.adversary.proposals import Flips, _bump
from robench.adversary.square import Square
from robench.adversary.standard import STANDARD
from robench.models.passes import counted
from robench.radius import BALLS, NORMS, Norm
from robench.threat import Threat
from tests.adversary.conftest import (
    BOTH,
    Rounded,
    Steady,
    Victim,
    agree,
    asked,
    autoattack,
    bent,
    obeys,
    same_path,
    takes_radii,
    undecided,
    work,
)

WIDER = {"Linf": 1.15, "L2": 1.7}
"""Square is the weakest of the four: it needs larger balls to break half of the images."""

IN_LINF = pytest.mark.parametrize(
    "victim", [BOTH["trained-Linf"], BOTH["unsure-Linf"]], ids=["trained", "unsure"], indirect=True
)

NEVER = property(lambda self: False, lambda self, value: None)
"""In place of an attribute that says whether refusals are remembered."""


@pytest.fixture
def wide(victim: Victim) -> Victim:
    """In a ball in which Square breaks some images with few queries."""
    return victim.wider(WIDER[victim.threat.norm])


def test_square_gives_autoattacks_verdicts(wide: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(Square(queries=400), autoattack("square", monkeypatch, queries=400), wide)


def package(queries: int) -> Attack:
    """AutoAttack's Square."""
    base = pytest.importorskip("pyautoattack.square")

    def attack(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        square = base.SquareAttack(
            model, norm=threat.norm, n_queries=queries, eps=threat.eps, seed=5, resc_schedule=False
        )
        with torch.no_grad():
            return square.perturb(x, y)

    return attack


def test_every_query_is_autoattacks(survivor: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flips, "remember", NEVER, raising=False)
    first, _, *here = asked(Square(queries=120), survivor)  # it looks at its start twice
    there = asked(package(120), survivor)[1:-1]  # it looks at the image first and last
    same_path([first, *here], there)


def test_every_query_is_autoattacks_where_most_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rounded inputs: a proposal as good as what is there is not taken."""
    monkeypatch.setattr(Flips, "remember", NEVER, raising=False)
    x, y = torch.full((8, 3, 8, 8), 0.5), torch.zeros(8, dtype=torch.long)
    rounded = Victim(Rounded(), x, y, Threat("Linf", 0.1))
    first, _, *here = asked(Square(queries=60), rounded)
    same_path([first, *here], asked(package(60), rounded)[1:-1])


def test_squares_shrink_as_autoattacks() -> None:
    package = pytest.importorskip("pyautoattack.square")
    attack = package.SquareAttack(None, eps=0.1, p_init=0.8, resc_schedule=False)
    for query in range(10_000):
        assert Square().share(query) == attack.p_selection(query)


@pytest.mark.parametrize("side", range(1, 14))
def test_bumps_are_autoattacks_and_of_energy_one(side: int) -> None:
    package = pytest.importorskip("pyautoattack.square")
    attack = package.SquareAttack(None, norm="L2", eps=0.1, device="cpu")
    for seed in range(4):
        torch.manual_seed(seed)
        own = _bump(side)
        torch.manual_seed(seed)
        assert torch.allclose(own, attack.eta(side), atol=1e-6)
        assert own.norm().item() == pytest.approx(1)


def test_keeps_the_rules(wide: Victim) -> None:
    obeys(Square(queries=100, restarts=2), wide)


def test_every_image_may_have_its_own_radius(wide: Victim) -> None:
    takes_radii(Square(queries=100), wide)


def test_at_radius_zero_and_on_no_images_nothing_happens(victim: Victim) -> None:
    nowhere = Threat(victim.threat.norm, 0.0)
    assert torch.equal(victim.attacked(Square(queries=20), threat=nowhere), victim.x)
    assert victim.few(0).attacked(Square(queries=20)).shape == (0, 3, 8, 8)


def test_more_queries_and_restarts_break_what_fewer_break(wide: Victim) -> None:
    attacks = (Square(queries=60), Square(queries=120), Square(queries=120, restarts=2))
    stands = [wide.stands(wide.attacked(attack)) for attack in attacks]
    for fewer, more in itertools.pairwise(stands):
        assert not (more & ~fewer).any()


@pytest.mark.parametrize("side", range(1, 14))
def test_bumps_are_autoattacks_in_l1_and_of_mass_one(side: int) -> None:
    package = pytest.importorskip("pyautoattack.square")
    attack = package.SquareAttack(None, norm="L1", eps=0.1, device="cpu")
    for seed in range(4):
        torch.manual_seed(seed)
        own = _bump(side, power=1)
        torch.manual_seed(seed)
        assert torch.allclose(own, attack.eta(side), atol=1e-6)
        assert own.abs().sum().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("shape", [(1, 3, 3), (1, 4, 4), (3, 5, 9), (3, 9, 5), (2, 14, 14)])
def test_images_of_any_shape_and_few_classes(
    shape: tuple[int, int, int], norm: Norm, classes: int
) -> None:
    torch.manual_seed(0)
    model, _, x, y = undecided(classes, shape)
    size = math.prod(shape)
    threat = Threat(norm, {"Linf": 0.05, "L2": 0.05 * size**0.5, "L1": 0.05 * size}[norm])
    victim = Victim(model, x, y, threat)
    x_adv = victim.attacked(Square(queries=60))
    stands = victim.stands(x_adv)
    assert not stands.all()
    assert (threat.distance(x_adv, x) <= threat.eps + 2e-6).all()
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert torch.equal(x_adv[stands], x[stands])


@IN_LINF
def test_in_linf_every_query_lies_at_the_rim(victim: Victim) -> None:
    eps, asked = 0.05, []

    class Asked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(x)
            return victim.model(x)

    one = replace(victim.few(1), model=Asked(), threat=Threat("Linf", eps))
    one.attacked(Square(queries=100))
    low, high = (victim.x[:1] - eps).clamp(0, 1), (victim.x[:1] + eps).clamp(0, 1)
    for x in asked:
        assert torch.minimum((x - low).abs(), (x - high).abs()).max() < 1e-6


@IN_LINF
def test_what_is_not_asked_again_changes_nothing(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide, attack = victim.wider(WIDER["Linf"]), Square(queries=400)
    with counted(wide.model) as fewer:
        x_adv = wide.attacked(attack)
    monkeypatch.setattr(Flips, "remember", NEVER, raising=False)
    with counted(wide.model) as all_of_them:
        assert torch.equal(x_adv, wide.attacked(attack))
    assert fewer.forwards < 0.9 * all_of_them.forwards


@given(st.integers(0, 1000))
@hypothesis_settings(max_examples=10)
def test_nor_on_small_images_where_almost_all_has_been_asked(seed: int) -> None:
    torch.manual_seed(seed)
    model, x = bent(16, 3, factor=3), torch.rand(48, 1, 4, 4)
    victim = Victim(model, x, model(x).argmax(1), Threat("Linf", 0.05))
    with counted(model) as fewer:
        x_adv = victim.attacked(Square(queries=300))
    with pytest.MonkeyPatch.context() as monkeypatch, counted(model) as all_of_them:
        monkeypatch.setattr(Flips, "remember", NEVER, raising=False)
        assert torch.equal(x_adv, victim.attacked(Square(queries=300)))
    assert fewer.forwards < 0.5 * all_of_them.forwards


class Moody(nn.Module):
    """A model that never says the same twice, though always class 0."""

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.tensor([5.0, 0.0, 0.0]).expand(len(x), 3)
        return logits + 0.1 * torch.rand_like(logits)


@given(st.integers(1, 80), st.sampled_from(NORMS), st.booleans())
@hypothesis_settings(max_examples=12)
def test_passes_of_an_image_that_nothing_breaks(queries: int, norm: Norm, moody: bool) -> None:
    """Every proposal is asked about, unless a deterministic model has been asked before."""
    x, y = torch.full((2, 3, 8, 8), 0.4), torch.zeros(2, dtype=torch.long)
    attack, model = Square(queries=queries, restarts=2), Moody() if moody else Steady(3)
    passes = work(attack, model, x, y, Threat(norm, 0.2))
    most = 2 * 2 * (queries + 2)
    assert passes.backwards == 0
    assert passes.forwards <= most
    if moody or norm == "L2":
        assert passes.forwards == most


@pytest.mark.parametrize("norm", BALLS)
def test_breaks_what_has_no_gradient(norm: Norm) -> None:
    """Rounded inputs: Auto-PGD and FAB stay where they start, random search does not."""
    x, y = torch.full((4, 3, 8, 8), 0.5), torch.zeros(4, dtype=torch.long)
    model, threat = Rounded(), Threat(norm, {"Linf": 0.13, "L2": 4.0, "L1": 60.0}[norm])
    assert (model(x).argmax(1) == y).all()
    torch.manual_seed(5)
    for attack in (APGD(), TargetedAPGD(), FAB(restarts=2), TargetedFAB()):
        assert torch.equal(attack(model, x, y, threat), x)
    x_adv = Square(queries=1000)(model, x, y, threat)
    assert (model(x_adv).argmax(1) != y).all()


@pytest.mark.parametrize("norm", BALLS)
def test_a_constant_model_is_not_broken(norm: Norm) -> None:
    x, y = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)
    attack, threat = Square(queries=100), Threat(norm, 0.5)
    assert torch.equal(attack(Steady(3, share=0.0), x, y, threat), x)


def test_autoattacks_four_attacks_cost_an_image_no_more_than_this() -> None:
    model, x, y = Steady(10), torch.full((1, 3, 8, 8), 0.4), torch.zeros(1, dtype=torch.long)
    threat = Threat("L2", 0.2)  # where Square asks about every proposal
    all_four = [work(attack, model, x, y, threat) for attack in STANDARD.values()]
    assert sum(passes.forwards for passes in all_four) <= 7811
    assert sum(passes.backwards for passes in all_four) <= 1910
