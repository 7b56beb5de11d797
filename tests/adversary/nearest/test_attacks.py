"""What every minimum-norm attack keeps to, and the distances of linear models."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.fab import FAB, TargetedFAB
from robench.adversary.nearest.carlini import CarliniWagner
from robench.adversary.nearest.ddn import DDN
from robench.adversary.nearest.deepfool import DeepFool
from robench.adversary.nearest.fab import NearestFAB
from robench.adversary.nearest.fmn import FMN
from robench.adversary.nearest.nearest import MinimumNorm, Nearness, distance, dual
from robench.adversary.nearest.pdpgd import PDPGD
from robench.adversary.nearest.sigma import SigmaZero
from robench.errors import AttackError
from tests.adversary.conftest import Rounded, Steady, Victim, Watched, bent, undecided

ALL: tuple[Nearness, ...] = ("Linf", "L2", "L1", "L0")

SHORT: list[tuple[MinimumNorm, Nearness]] = [
    *((DeepFool(steps=8), norm) for norm in ALL),
    *((FMN(steps=12), norm) for norm in ALL),
    *((PDPGD(steps=12), norm) for norm in ALL),
    (DDN(steps=12), "L2"),
    (CarliniWagner(searches=3, steps=10, size=0.1), "L2"),
    (NearestFAB(steps=5), "L2"),
    (NearestFAB(steps=5, targets=2), "Linf"),
    (SigmaZero(steps=12), "L0"),
]
NAMES = [f"{type(attack).__name__}-{norm}" for attack, norm in SHORT]
EACH = pytest.mark.parametrize(("attack", "norm"), SHORT, ids=NAMES)

Case = tuple[nn.Module, Tensor, Tensor]


def bends(seed: int, shape: tuple[int, int, int] = (3, 4, 4), classes: int = 4) -> Case:
    """A network with random labels: most images are wrong already."""
    torch.manual_seed(seed)
    model = bent(shape[0] * shape[1] * shape[2], classes, 3.0).requires_grad_(False)
    x = torch.rand(12, *shape)
    y = torch.where(torch.arange(12) < 9, model(x).argmax(1), torch.randint(classes, (12,)))
    return model, x, y


def wrong(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(1) != y


LINEAR: list[tuple[MinimumNorm, Nearness, float]] = [
    *((DeepFool(), norm, 1.03) for norm in ("Linf", "L2", "L1")),
    *((FMN(steps=200), norm, 1.005) for norm in ("Linf", "L2", "L1")),
    (PDPGD(steps=200), "Linf", 1.4),
    (PDPGD(steps=200), "L2", 1.2),
    (PDPGD(steps=200), "L1", 1.5),
    (DDN(steps=200), "L2", 1.005),
    (CarliniWagner(searches=8, steps=150, size=0.002), "L2", 1.005),
    (NearestFAB(steps=20), "Linf", 1.01),
    (NearestFAB(steps=20, targets=1), "L2", 1.01),
]
"""And how much farther than the nearest they may end: DeepFool goes beyond the boundary on purpose,
FAB keeps a twentieth, and PDPGD needs more steps than a test has."""


@pytest.mark.parametrize(("attack", "norm", "most"), LINEAR)
def test_in_a_linear_model_the_nearest_is_the_margin_over_the_dual_norm(
    attack: MinimumNorm, norm: Nearness, most: float
) -> None:
    torch.manual_seed(0)
    model, head, x, _ = undecided(2, (3, 4, 4))
    y, slope = torch.zeros(len(x), dtype=torch.long), head.weight[1] - head.weight[0]
    margins = torch.linspace(0.06, 0.1, len(x))
    logits = model(x)
    by = logits[:, 1] - logits[:, 0] + margins
    x = x - (by[:, None] * slope / slope.square().sum()).view_as(x)
    exact = margins / dual(slope[None], norm)
    assert (exact < 0.45).all()  # so that one pixel is enough, and [0, 1] no bound
    x_adv = attack(model, x, y, norm)
    assert wrong(model, x_adv, y).all()
    ratio = distance(x_adv, x, norm) / exact
    assert (ratio > 0.999).all()
    assert (ratio < most).all(), ratio.max()


@pytest.mark.parametrize(
    ("attack", "share"),
    [(DeepFool(), 1), (FMN(), 0.9), (SigmaZero(steps=300), 0.9), (PDPGD(steps=100), 0)],
)
def test_in_a_linear_model_the_fewest_pixels_are_those_that_gain_most(
    attack: MinimumNorm, share: float
) -> None:
    torch.manual_seed(1)
    model, head, x, y = undecided(2, (3, 5, 5))
    head.bias[0] += 0.8
    y = model(x).argmax(1)
    slope = (head.weight[1] - head.weight[0]) * torch.where(y == 0, 1.0, -1.0)[:, None]
    room = torch.where(slope > 0, 1 - x.flatten(1), x.flatten(1))
    gains = (slope.abs() * room).view(len(x), 3, 25).sum(1).sort(1, descending=True).values
    logits = model(x)
    need = (logits[:, 1] - logits[:, 0]).abs()
    fewest = (gains.cumsum(1) < need[:, None]).sum(1) + 1.0
    assert fewest.min() > 2
    x_adv = attack(model, x, y, "L0")
    assert wrong(model, x_adv, y).all()
    found = distance(x_adv, x, "L0")
    assert (found >= fewest).all()
    assert (found <= 3 * fewest).all()
    assert (found == fewest).float().mean() >= share


@EACH
def test_images_are_wrong_and_in_the_box_or_untouched(attack: MinimumNorm, norm: Nearness) -> None:
    model, x, y = bends(3)
    before = x.clone()
    torch.manual_seed(5)
    x_adv = attack(model, x, y, norm)
    assert torch.equal(x, before)
    assert not x_adv.requires_grad
    there, already = wrong(model, x_adv, y), wrong(model, x, y)
    assert already.any()
    assert torch.equal(x_adv[already], x[already])
    assert torch.equal(x_adv[~there], x[~there])
    assert (there & ~already).any()
    assert ((x_adv >= 0) & (x_adv <= 1)).all()
    torch.manual_seed(5)
    assert torch.equal(x_adv, attack(model, x, y, norm))
    assert attack(model, x[:0], y[:0], norm).shape == (0, 3, 4, 4)


@given(
    st.integers(0, 99), st.sampled_from(SHORT), st.integers(2, 5),
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
)  # fmt: skip
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_shape_and_number_of_classes(
    seed: int,
    which: tuple[MinimumNorm, Nearness],
    classes: int,
    shape: tuple[int, int, int],
) -> None:
    model, x, y = bends(seed, shape, classes)
    x[:4] = x[:4].round()  # at the rim of the box
    x_adv = which[0](model, x, y, which[1])
    assert ((x_adv >= 0) & (x_adv <= 1)).all()
    same = (x_adv == x).flatten(1).all(1)
    assert (same | wrong(model, x_adv, y)).all()


@EACH
def test_the_nearest_of_all_wrong_images_that_were_asked_about(
    attack: MinimumNorm, norm: Nearness
) -> None:
    """So no later step can weaken what an earlier one has found."""
    model, x, y = bends(7)
    for image in range(9):
        watched, one = Watched(model), slice(image, image + 1)
        x_adv = attack(watched, x[one], y[one], norm)
        seen = torch.cat(watched.asked)
        fell = wrong(model, seen, y[one].expand(len(seen)))
        lengths = distance(seen[fell], x[one].expand_as(seen)[fell], norm)
        found = distance(x_adv, x[one], norm)
        assert found == (lengths.amin() if fell.any() else 0)


@EACH
def test_an_image_does_not_depend_on_those_beside_it(attack: MinimumNorm, norm: Nearness) -> None:
    model, x, y = bends(11)
    together = distance(attack(model, x, y, norm), x, norm)
    alone = torch.cat(
        [distance(attack(model, x[k], y[k], norm), x[k], norm) for k in torch.arange(12).split(1)]
    )
    close = torch.isclose(together, alone, rtol=1e-2)
    assert close.float().mean() >= 0.9  # rounding may send one another way


@EACH
def test_nothing_is_found_where_there_is_nothing_or_no_gradient(
    attack: MinimumNorm, norm: Nearness
) -> None:
    x, zeros = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)
    assert torch.equal(attack(Steady(3), x, zeros, norm), x)
    flat = torch.full((4, 3, 8, 8), 0.4)
    assert torch.equal(attack(Rounded(), flat, zeros, norm), flat) or norm == "L2"
    constant = Steady(3, share=0.0)
    assert torch.equal(attack(constant, x, zeros, norm), x)


def test_an_attack_says_where_it_is_not_defined() -> None:
    model, x, y = bends(0)
    for attack in (DDN(), CarliniWagner(), NearestFAB(), SigmaZero()):
        with pytest.raises(AttackError, match="not in L1"):
            attack(model, x, y, "L1")


def test_fab_goes_on_to_its_last_step_and_finds_what_it_finds_in_a_ball(victim: Victim) -> None:
    norm, eps = victim.threat.norm, victim.threat.eps
    assert norm in ("Linf", "L2")
    pairs: list[tuple[MinimumNorm, Attack]] = [
        (NearestFAB(steps=8), FAB(steps=8)),
        (NearestFAB(steps=8, targets=2), TargetedFAB(steps=8, targets=2)),
    ]
    for nearest, in_a_ball in pairs:
        fell = ~victim.stands(victim.attacked(in_a_ball))
        assert 0 < fell.sum() < len(fell)
        x_adv = nearest(victim.model, victim.x, victim.y, norm)
        there = ~victim.stands(x_adv) & (distance(x_adv, victim.x, norm) <= eps)
        assert there[fell].all()


def test_more_steps_of_deepfool_never_weaken_it() -> None:
    model, x, y = bends(13)
    for norm in ALL:
        before = torch.full((12,), torch.inf)
        for steps in (1, 2, 3, 5, 20):
            x_adv = replace(DeepFool(), steps=steps)(model, x, y, norm)
            there = wrong(model, x_adv, y)
            length = torch.where(there, distance(x_adv, x, norm), torch.inf)
            assert (length <= before).all()
            before = length
