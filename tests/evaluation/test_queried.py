"""Robust accuracy against questions: counts, what is not trusted, and what comes together."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.attack import right
from robench.adversary.blackbox.queries import Searched
from robench.adversary.measure import Reading
from robench.adversary.square import Square
from robench.check import tiny
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.queried import STANDS, Queried, worst_of_all
from robench.intervals import wilson
from robench.seeds import seeded
from robench.threat import Threat


class Marked(nn.Module):
    """Right about what it was told, unless the first pixel was raised to one."""

    def __init__(self, data: Data, wrong: int = 0) -> None:
        super().__init__()
        self.y = {
            tuple(x[1:].tolist()): int(y) for x, y in zip(flat(data), data.test.y, strict=True)
        }
        for key in list(self.y)[:wrong]:
            self.y[key] = (self.y[key] + 1) % 4

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        y = torch.tensor([self.y[tuple(row[1:].tolist())] for row in rows])
        return torch.eye(4)[(y + (rows[:, 0] == 1)) % 4]


class Fickle(Marked):
    """Every twentieth of its answers is another class, drawn anew."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        slips = torch.rand(len(x), 1) < 0.05
        return torch.where(slips, logits.roll(1, 1), logits)


def flat(data: Data) -> Tensor:
    return data.test.x().flatten(1)


@dataclass(frozen=True)
class Told:
    """Breaks every second image, the k-th of them after k questions; says that it broke all."""

    queries: int = 100

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
        x_adv, number = x.clone(), torch.arange(len(x))
        x_adv[::2, 0, 0, 0] = 1
        return Searched(x_adv, torch.ones_like(y, dtype=torch.bool), number // 2 + 1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        return self.search(model, x, y, threat).x_adv


@pytest.fixture(scope="module")
def data() -> Data:
    return tiny.data(test=60)


def read(queried: Queried, model: nn.Module, data: Data, eps: float = 1.0) -> Reading:
    with seeded(0):
        return queried(model.eval(), data, Threat("Linf", eps))


def test_counts_and_curve_are_of_all_images(data: Data) -> None:
    found = read(Queried(attack=Told()), Marked(data, wrong=10), data)
    queries = found.images["queries"]
    assert (queries[:10] == 0).all()  # wrong as they are
    assert (queries[11::2] == STANDS).all()  # whatever the attack says
    assert queries[10::2].tolist() == list(range(1, 26))
    robust, median = found.values
    assert (robust.value, robust.n) == (25 / 60, 60)
    assert (robust.low, robust.high) == wilson(25, 60)
    assert (median.name, median.value, median.n) == ("median queries", 13, 25)
    (curve,) = found.curves
    assert curve.x[[0, -1]].tolist() == [1, 100]
    for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True):
        fallen = 10 + sum(1 for count in range(1, 26) if count <= x)
        assert y == pytest.approx(1 - fallen / 60)
    assert (curve.x.diff() > 0).all()


def test_the_last_point_of_the_curve_is_the_number(data: Data) -> None:
    model = tiny.classifier()
    found = read(Queried(attack=Square(queries=48)), model, data, eps=0.1)
    assert found.curves[0].y[-1] == pytest.approx(found.values[0].value)
    x, y = data.test.x(), data.test.y
    assert (found.images["queries"] == 0).sum() == (~right(model, x, y)).sum()


def test_nothing_falls_at_radius_zero_and_no_median_is_made_up(data: Data) -> None:
    found = read(Queried(attack=Told()), Marked(data), data, eps=0.0)
    assert found.values[0].value == 1
    assert math.isnan(found.values[1].value)
    assert found.values[1].n == 0
    assert (found.curves[0].y == 1).all()


def test_what_leaves_the_ball_is_an_error(data: Data) -> None:
    with pytest.raises(AttackError, match="'Told' left the threat model"):
        read(Queried(attack=Told()), Marked(data), data, eps=0.01)


def test_of_a_model_that_draws_ten_answers_are_one_and_count_as_ten(data: Data) -> None:
    """A slip neither makes an image fall nor saves one."""
    found = read(Queried(attack=Told(queries=300)), Fickle(data, wrong=10), data)
    queries = found.images["queries"]
    assert (queries[:10] == 0).all()
    assert (queries[11::2] == STANDS).all()
    assert queries[10::2].tolist() == [10 * count for count in range(1, 26)]
    asked = []

    class Asked(Told):
        def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
            asked.append(self.queries)
            return super().search(model, x, y, threat)

    read(Queried(attack=Asked(queries=300)), Fickle(data), data)
    read(Queried(attack=Asked(queries=300)), Marked(data), data)
    assert asked == [30, 300]


def test_one_seed_one_result(data: Data) -> None:
    looks = Queried(attack=Square(queries=30))
    model = tiny.classifier()
    first, second = (read(looks, model, data, eps=0.1).images["queries"] for _ in range(2))
    assert torch.equal(first, second)


def test_an_image_stands_when_it_stands_against_every_attack() -> None:
    counts = {"one": [0.0, -1, -1, 7, 3], "other": [0.0, -1, 5, -1, 9]}
    found = worst_of_all(
        {name: Reading((), images={"queries": torch.tensor(of)}) for name, of in counts.items()}
    )
    assert found.images["queries"].tolist() == [0, -1, 5, 7, 3]
    (value,) = found.values
    assert (value.name, value.value, value.n) == ("worst of all", 0.2, 5)
    assert (value.low, value.high) == wilson(1, 5)
