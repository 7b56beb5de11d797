"""Robust accuracy elsewhere: whose radius it has, what counts, and what several come to."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.measure import Reading
from robench.adversary.pgd import PGD, PGDAttack
from robench.check import tiny
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.elsewhere import STANDS, Elsewhere, Overall
from robench.evaluation.unseen import LARGER, OVERALL, threats
from robench.intervals import wilson
from robench.seeds import seeded
from robench.threat import Threat

GRID = Threat("Linf", 0.02)


def still(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (Elsewhere(attack=still, norm="L2", eps=0.7), Threat("L2", 0.7)),
        (Elsewhere(attack=still, norm="Linf", eps=0.02), Threat("Linf", 0.02)),
        (Elsewhere(attack=still, share=1.5), Threat("Linf", 0.03)),
        (Elsewhere(attack=still, norm="L2"), Threat("L2", 0.25)),
        (Elsewhere(attack=still, norm="L1", share=0.5), Threat("L1", 1.0)),
        (Elsewhere(attack=still, norm="change", of="flow", share=2), Threat("change", 0.2)),
        (Elsewhere(attack=still, norm="Linf", share=2.0), Threat("Linf", 16 / 255)),
    ],
)
def test_a_radius_is_given_or_a_share_of_the_grid_s_or_of_the_data_set_s(
    where: Elsewhere, wanted: Threat, data: Data
) -> None:
    found = where.within(data, GRID)
    assert found is not None
    assert found.norm == wanted.norm
    assert found.eps == pytest.approx(wanted.eps)


def test_the_grid_s_own_threat_model_is_not_elsewhere(data: Data) -> None:
    where = Elsewhere(attack=still, norm="Linf")
    reading = where(tiny.classifier().eval(), data, GRID)
    assert math.isnan(reading.values[0].value)
    assert reading.values[0].n == 0
    assert reading.images == {}
    assert where.within(data, Threat("L2", 0.25)) is not None


def test_a_norm_without_a_radius_is_an_error(data: Data) -> None:
    facts = replace(data.facts, eps={"Linf": data.facts.eps["Linf"]})
    with pytest.raises(AttackError, match="no radius in L2"):
        Elsewhere(attack=still, norm="L2").within(replace(data, facts=facts), GRID)


class Bright(nn.Module):
    """The class is which quarter is brightest, or class 0 for the first ``wrong`` images asked."""

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(1)
        quarters = means[:, :4, :4], means[:, :4, 4:], means[:, 4:, :4], means[:, 4:, 4:]
        return torch.stack([quarter.mean((1, 2)) for quarter in quarters], 1)


def asked(data: Data, attack: object, **settings: object) -> Reading:
    with seeded(0):
        where = Elsewhere(attack=attack, norm="L2", eps=20.0, **settings)  # type: ignore[arg-type]
        return where(Bright().eval(), data, GRID)


def test_images_count_when_they_are_right_and_stand(data: Data) -> None:
    """The attack turns the images of class 0 around, and class 3 is wrongly labelled."""
    seen = list[Tensor]()

    def turn(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        seen.append(y)
        return torch.where((y == 0)[:, None, None, None], x.flip(2), x)

    y = torch.where(data.test.y == 3, 2, data.test.y)
    relabelled = replace(data, test=replace(data.test, y=y))
    reading = asked(relabelled, turn)
    assert torch.cat(seen).unique().tolist() == [0, 1, 2]
    assert torch.equal(reading.images[STANDS], ((data.test.y == 1) | (data.test.y == 2)).double())
    (value,) = reading.values
    assert (value.name, value.value, value.n) == ("", 0.5, 64)
    assert (value.low, value.high) == wilson(32, 64)


def test_an_image_falls_only_when_the_model_says_so(data: Data) -> None:
    assert asked(data, lambda model, x, y, threat: 0.9 * x).values[0].value == 1


def test_what_leaves_the_ball_or_fails_is_an_error(data: Data) -> None:
    def far(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        return 2 + x

    def broken(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        raise ValueError("no")

    with pytest.raises(AttackError, match="left the threat model"):
        asked(data, far)
    with pytest.raises(AttackError, match="ValueError: no"):
        asked(data, broken)


def test_no_attack_runs_at_eps_0(data: Data) -> None:
    where = Elsewhere(attack=still, norm="L2", eps=0.0)
    assert where(Bright().eval(), data, GRID).values[0].value == 1
    assert Elsewhere(attack=still, share=2.0).within(data, Threat("Linf", 0.0)) == GRID_0


GRID_0 = Threat("Linf", 0.0)


def test_images_are_attacked_250_at_a_time_with_other_draws(data: Data) -> None:
    index, drawn = torch.arange(600) % 64, list[Tensor]()
    test = type(data.test)(data.test.pixels[index], data.test.y[index], 255.0, torch.arange(600))

    def draw(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        drawn.append(torch.rand(1))
        assert len(x) <= 250
        return x

    many = replace(data, test=test)
    assert asked(many, draw).values[0].n == 600
    assert len(torch.cat(drawn).unique()) == 3
    before = torch.cat(drawn)
    drawn.clear()
    asked(many, draw)
    assert torch.equal(torch.cat(drawn), before)


class Fickle(nn.Module):
    """Right two times out of three."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = Bright()(x)
        return -logits if self.calls % 3 == 0 else logits


def test_the_majority_of_looks_decides(data: Data) -> None:
    model = Fickle().eval()
    where = Elsewhere(attack=still, norm="L2", eps=1.0, looks=3)
    assert where(model, data, GRID).values[0].value == 1
    assert model.calls == 6


def stands(*rows: list[int]) -> dict[str, Reading]:
    names = "one", "other", "third"
    return {
        name: Reading((), images={STANDS: torch.tensor(row).double()})
        for name, row in zip(names, rows, strict=False)
    }


def test_the_union_is_image_by_image_and_the_mean_over_threats() -> None:
    readings = stands([1, 1, 0, 0, 1], [1, 0, 1, 0, 1])
    readings["seen"] = Reading(())
    found = Overall()(readings)
    union, mean = found.values
    assert (union.name, union.value, union.n) == ("union", 0.4, 5)
    assert (union.low, union.high) == wilson(2, 5)
    assert (mean.name, mean.n) == ("mean over threats", 5)
    assert mean.value == pytest.approx(0.6)
    assert found.images[STANDS].tolist() == [1, 0, 0, 0, 1]


def test_what_is_left_out_counts_in_neither() -> None:
    readings = stands([1, 1, 0], [0, 0, 0])
    union, mean = Overall(without=("other",))(readings).values
    assert union.value == mean.value == pytest.approx(2 / 3)
    nothing = Overall(without=("one", "other"))(readings).values
    assert all(math.isnan(value.value) and value.n == 0 for value in nothing)


def test_a_real_attack_s_accuracy_is_that_of_its_images(data: Data) -> None:
    attack = PGDAttack(pgd=PGD(steps=3, start="none"))
    with seeded(0):
        reading = Elsewhere(attack=attack, norm="Linf", eps=0.2)(Bright().eval(), data, GRID)
    x, y = data.test.x(), data.test.y
    x_adv = attack(Bright().eval(), x, y, Threat("Linf", 0.2))
    assert torch.equal(reading.images[STANDS], (Bright()(x_adv).argmax(1) == y).double())


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_of_the_shared_threats_all_but_the_grid_s_own_are_there(norm: str, data: Data) -> None:
    grid = Threat(norm, float(data.facts.eps[norm]))  # type: ignore[arg-type, index]
    own = [name for name, one in threats().items() if one.within(data, grid) is None]
    assert own == [f"ball-{norm.lower()}"]
    assert set(OVERALL.without) == set(LARGER) <= set(threats())
    assert all(one.looks == 7 for one in threats(draws=3, looks=7).values())
    assert all(one.attack.draws == 3 for one in threats(draws=3, looks=7).values())  # type: ignore[attr-defined]
