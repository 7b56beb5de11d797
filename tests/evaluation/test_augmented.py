"""Random perturbations: tails, quantiles and means against slow loops and another minimiser."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.measure import Reading
from robench.data.load import Data
from robench.evaluation.augmented import Augmented, tail
from robench.intervals import wilson
from robench.seeds import seeded
from robench.threat import Threat


def losses(draws: int, images: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(draws, images, generator=generator).exp()


def slow_tail(column: list[float], share: float) -> float:
    """The least of t + mean(relu(loss - t)) / share: convex, so it bends at one of the losses."""
    return min(t + sum(max(loss - t, 0) for loss in column) / len(column) / share for t in column)


def test_the_tail_of_all_draws_is_their_mean_and_of_one_their_maximum() -> None:
    drawn = losses(40, 6, 0)
    torch.testing.assert_close(tail(drawn, 1.0), drawn.double().mean(0))
    torch.testing.assert_close(tail(drawn, 1 / 40), drawn.double().amax(0))
    torch.testing.assert_close(tail(drawn, 0.25), drawn.double().sort(0).values[-10:].mean(0))
    torch.testing.assert_close(tail(drawn, 0.001), drawn.double().amax(0))  # of less than one, too


@given(draws=st.integers(1, 50), share=st.floats(0.001, 1), seed=st.integers(0, 99))
def test_the_tail_is_the_least_of_rockafellar_and_uryasevs_bounds(
    draws: int, share: float, seed: int
) -> None:
    drawn = losses(draws, 3, seed)
    wanted = [slow_tail(column, share) for column in drawn.double().T.tolist()]
    assert tail(drawn, share).tolist() == pytest.approx(wanted, rel=1e-9)


def test_the_tail_counts_its_last_draw_in_part() -> None:
    drawn = torch.tensor([[1.0], [5.0], [3.0], [2.0]])
    assert tail(drawn, 0.375).item() == pytest.approx((5 + 0.5 * 3) / 1.5)
    # The uniform distribution's worst twentieth has the mean 0.975.
    even = (torch.arange(10_000, dtype=torch.float64)[:, None] + 0.5) / 10_000
    assert tail(even, 0.05).item() == pytest.approx(0.975)


class Scripted(nn.Module):
    """Right about image k in all draws but the first ``wrong[k]``, and keeps what it has seen."""

    def __init__(self, y: Tensor, wrong: Tensor) -> None:
        super().__init__()
        self.y, self.wrong, self.seen = y, wrong, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        fails = len(self.seen) < self.wrong
        self.seen.append(x)
        return 3.0 * F.one_hot((self.y + fails) % 4, 4)


def numbers(reading: Reading) -> dict[str, float]:
    return {value.name: value.value for value in reading.values}


@pytest.mark.parametrize("draws", [1, 7, 50, 100])
def test_an_image_counts_at_a_quantile_when_it_fails_fewer_draws(draws: int, data: Data) -> None:
    # As many images fail 0, 1, 2, ... draws as there are: each side of each quantile is met.
    wrong = torch.arange(64) % (draws + 1)
    shares = ("0.01", "0.07", "0.1", "0.29", "0.5")
    looks = Augmented(draws=draws, shares=tuple(float(q) for q in shares))
    found = looks(Scripted(data.test.y, wrong), data, Threat("Linf", 0.1))
    ours = numbers(found)
    for q in shares:
        passed = 0
        for fails in wrong.tolist():
            share = Fraction(draws - fails, draws)
            passed += share > 1 - Fraction(q)
        assert ours[f"quantile accuracy, {q}"] == passed / 64
        (value,) = [v for v in found.values if v.name == f"quantile accuracy, {q}"]
        assert (value.low, value.high, value.n) == (*wilson(passed, 64), 64)
    mean = sum(draws - fails for fails in wrong.tolist()) / draws / 64
    assert ours["mean accuracy"] == pytest.approx(mean)
    assert found.images["right"].tolist() == pytest.approx(
        [(draws - fails) / draws for fails in wrong.tolist()]
    )


def test_tails_are_of_each_images_own_losses(data: Data) -> None:
    wrong = torch.arange(64) % 11
    found = Augmented(draws=10, shares=(0.25, 0.1))(
        Scripted(data.test.y, wrong), data, Threat("Linf", 0.1)
    )
    right, fails = (F.cross_entropy(torch.eye(4)[:1] * 3, torch.tensor([k])).item() for k in (0, 1))
    for q in (0.25, 0.1):
        columns = [[fails] * k + [right] * (10 - k) for k in wrong.tolist()]
        mean = sum(slow_tail(column, q) for column in columns) / 64
        assert numbers(found)[f"CVaR loss, {q}"] == pytest.approx(mean, rel=1e-6)


class Constant(nn.Module):
    """One answer to everything."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([0.0, 2.0, 0.0, 0.0]).repeat(len(x), 1)


def test_a_constant_classifier_is_right_about_its_class_at_every_quantile(data: Data) -> None:
    found = numbers(Augmented(draws=5)(Constant(), data, Threat("Linf", 0.5)))
    loss = F.cross_entropy(Constant()(data.test.x()), data.test.y).item()
    for name, value in found.items():
        assert value == pytest.approx(loss if name.startswith("CVaR") else 0.25), name
    assert len(found) == 1 + 3 + 3


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.06), ("L2", 0.5)])
def test_perturbations_are_drawn_anew_inside_the_ball(norm: str, eps: float, data: Data) -> None:
    model, threat = Scripted(data.test.y, torch.zeros(64)), Threat(norm, eps)  # type: ignore[arg-type]
    with seeded(0):
        Augmented(draws=9)(model, data, threat)
    assert len(model.seen) == 9
    x = data.test.x()
    for drawn in model.seen:
        assert drawn.amin() >= 0
        assert drawn.amax() <= 1
        far = threat.distance(drawn, x)
        assert (far <= eps + 1e-6).all()
        assert far.amax() > 0.95 * eps
    every = torch.stack(model.seen)
    assert len(every.unique(dim=0)) == 9
    if norm == "Linf":  # uniform over the ball, not on its rim
        far = torch.stack([threat.distance(drawn, x) for drawn in model.seen])
        assert (far < 0.999 * eps).double().mean() > 0.5
        free = ((x > eps) & (x < 1 - eps)).expand_as(every)  # what [0, 1] does not cut
        moved = (every - x).abs()[free]
        assert (moved < eps / 2).double().mean() == pytest.approx(0.5, abs=0.02)


def test_more_test_images_than_a_part_are_all_looked_at(data: Data) -> None:
    index = torch.arange(1200) % 64
    many = type(data.test)(data.test.pixels[index], data.test.y[index], 255.0, torch.arange(1200))
    found = Augmented(draws=2)(
        Constant(), type(data)("many", data.facts, many, many, many, ""), Threat("Linf", 0.1)
    )
    assert found.images["right"].tolist() == (many.y == 1).double().tolist()
    assert {value.n for value in found.values} == {1200}
