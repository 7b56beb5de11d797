"""Retrieval: margins against a loop, what is attacked and counted, and a picture that is known."""

from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.losses import Loss
from robench.adversary.measure import Reading
from robench.adversary.pgd import PGD, Halt
from robench.data.load import Data, Images
from robench.errors import AttackError
from robench.evaluation.retrieval import Gallery, Retrieval
from robench.threat import Threat

NATURAL, ATTACKED = "recall@1 of natural queries", "recall@1 of attacked queries"


class Quarters(nn.Module):
    """Features are the mean of each quarter of an image: the tiny task's own solution."""

    def features(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x.mean(1), 4).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


def moved(x: Tensor, by: float) -> Tensor:
    """A brighter first quarter, as far as that goes."""
    brighter = x.clone()
    brighter[:, :, :4, :4] += by
    return brighter.clamp(0, 1)


@dataclass
class Moves:
    """An attack that adds the same to all images, another thing each time; keeps who was asked."""

    by: list[float]
    asked: list[list[int]] = field(default_factory=list)

    def __call__(
        self, model: nn.Module, x: Tensor, target: Tensor, threat: Threat, loss: Loss, halt: Halt
    ) -> Tensor:
        self.asked.append(target.tolist())
        return moved(x, self.by[len(self.asked) - 1])


def values(reading: Reading) -> dict[str, float]:
    return {value.name: value.value for value in reading.values}


def answers(found: Tensor, data: Data) -> Tensor:
    """Which queries, (N,), are answered rightly from the natural images, by plain distances."""
    items = F.normalize(Quarters().features(data.test.x()))
    distances = torch.cdist(F.normalize(found), items).fill_diagonal_(torch.inf)
    return data.test.y[distances.argmin(1)] == data.test.y


def unit(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 3, generator=generator))


@given(y=st.lists(st.integers(0, 2), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_margins_against_a_loop(y: list[int], seed: int) -> None:
    items, queries = unit(len(y), seed), unit(len(y), seed + 100)
    found = Gallery(items, torch.tensor(y)).margin(queries, torch.arange(len(y)))
    for i, query in enumerate(queries):
        squares = [(query - item).square().sum().item() for item in items]
        own = [s for j, s in enumerate(squares) if j != i and y[j] == y[i]]
        other = [s for j, s in enumerate(squares) if y[j] != y[i]]
        if own and other:
            assert found[i].item() == pytest.approx(min(own) - min(other), abs=1e-5)
        else:  # nothing to be found, or nothing to be taken for it
            assert bool(found[i] > 0) == (not own)


def test_natural_queries_are_the_nearest_neighbour_s_class(data: Data) -> None:
    y = data.test.y.clone()
    y[::5] = (y[::5] + 1) % 4  # so that some are answered wrongly
    mixed = replace(data, test=replace(data.test, y=y))
    reading = Retrieval(attack=PGD(steps=0, start="none"))(Quarters(), mixed, Threat("Linf", 0.1))
    right = answers(Quarters().features(mixed.test.x()), mixed)
    assert 0.5 < values(reading)[NATURAL] == right.float().mean().item() < 1
    assert torch.equal(reading.images["natural"] < 0, right)
    assert [value.n for value in reading.values] == [64, 64]
    assert all((v.low or 0) < v.value < (v.high or 0) for v in reading.values)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_at_radius_zero_attacked_queries_are_the_natural_ones(norm: str, data: Data) -> None:
    reading = Retrieval(attack=PGD(steps=2))(Quarters(), data, Threat(norm, 0.0))  # type: ignore[arg-type]
    natural, attacked = reading.images["natural"], reading.images["attacked"]
    assert torch.allclose(natural, attacked, atol=1e-5)
    assert values(reading) == {NATURAL: 1, ATTACKED: 1}


def test_what_counts_are_the_attacked_images_features_at_their_worst(data: Data) -> None:
    """Each start moves what still stands, the third by less: who fell before stays so."""
    moves = Moves([0.5, 0.55, 0.1])
    reading = Retrieval(attack=moves, restarts=3)(Quarters(), data, Threat("Linf", 0.6))  # type: ignore[arg-type]
    places, worst = torch.arange(64), reading.images["natural"]
    gallery = Gallery(F.normalize(Quarters().features(data.test.x())), data.test.y)
    stands = [list(range(64))]
    for by in moves.by:
        found = gallery.margin(F.normalize(Quarters().features(moved(data.test.x(), by))), places)
        worst = torch.where(worst < 0, torch.maximum(worst, found), worst)
        stands.append((worst < 0).nonzero().squeeze(1).tolist())
    assert moves.asked == stands[:3]
    assert 64 > len(stands[1]) > len(stands[2]) == len(stands[3]) >= 16  # class 0 only gains
    assert torch.allclose(reading.images["attacked"], worst, atol=1e-5)
    assert values(reading)[ATTACKED] == len(stands[3]) / 64


def test_images_outside_the_ball_are_an_error(data: Data) -> None:
    with pytest.raises(AttackError, match="'query' left the threat model by"):
        Retrieval(attack=Moves([0.2]))(Quarters(), data, Threat("Linf", 0.1))  # type: ignore[arg-type]


def test_a_query_without_another_of_its_class_is_none(data: Data) -> None:
    few = replace(data, test=data.test.first(6))  # classes 0, 1, 2, 3, 0, 1
    reading = Retrieval(attack=PGD(steps=1))(Quarters(), few, Threat("Linf", 0.01))
    assert values(reading) == {NATURAL: 1, ATTACKED: 1}
    assert [value.n for value in reading.values] == [4, 4]
    none = replace(data, test=data.test.first(4))
    reading = Retrieval(attack=PGD(steps=1))(Quarters(), none, Threat("Linf", 0.01))
    assert [(value.value != value.value, value.n) for value in reading.values] == [(True, 0)] * 2


def test_one_class_alone_is_always_found(data: Data) -> None:
    test = data.test
    alike = Images(test.pixels[::4], test.y[::4], test.scale, test.origin[::4])
    reading = Retrieval(attack=PGD(steps=2))(
        Quarters(), replace(data, test=alike), Threat("Linf", 0.5)
    )
    assert values(reading) == {NATURAL: 1, ATTACKED: 1}


class Constant(Quarters):
    """All images are alike."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * 0 + 1


def test_a_tie_is_no_answer(data: Data) -> None:
    reading = Retrieval(attack=PGD(steps=1))(Constant(), data, Threat("Linf", 0.1))
    assert values(reading) == {NATURAL: 0, ATTACKED: 0}


def test_a_network_without_features_is_named(data: Data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with pytest.raises(AttackError, match="Sequential has no features to look at"):
        Retrieval()(model, data, Threat("Linf", 0.1))


class Broken(Quarters):
    """Features that are no number as soon as a pixel is touched."""

    def features(self, x: Tensor) -> Tensor:
        whole = (x * 255 - (x * 255).round()).abs().flatten(1).amax(1) < 1e-3
        return super().features(x) * torch.where(whole, 1.0, torch.nan)[:, None]


def test_features_that_are_not_finite_are_no_retrieval(data: Data) -> None:
    with pytest.raises(AttackError, match="features are not finite"):
        Retrieval(attack=PGD(steps=0))(Broken(), data, Threat("Linf", 0.1))


def test_the_attack_reaches_another_class_where_it_can(data: Data) -> None:
    # Bright quarters are about 0.5 over the others: at 0.26 off each, another one is as bright.
    found = {}
    for eps in (0.05, 0.2, 0.3):
        reading = Retrieval(attack=PGD(steps=10))(Quarters(), data, Threat("Linf", eps))
        found[eps] = values(reading)[ATTACKED]
        assert values(reading)[NATURAL] == 1
        assert (reading.images["attacked"] >= reading.images["natural"]).all()
    assert found[0.05] == 1
    assert found[0.3] == 0
