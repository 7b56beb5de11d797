"""Distances: what counts as found, the curve against a loop, and the nearest of all attacks."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.measure import Reading
from robench.adversary.nearest.fmn import FMN
from robench.adversary.nearest.nearest import Nearness, distance
from robench.adversary.suite import Suite, suite
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.distances import Distances, Nearest, reading
from robench.evaluation.measured import measure
from robench.evaluation.outcomes import pack, unpack
from robench.intervals import wilson
from robench.threat import Threat

LENGTHS = st.lists(
    st.one_of(st.floats(0, 3), st.just(math.inf), st.just(0.0)), min_size=1, max_size=30
)


class Bright(nn.Module):
    """Class 1 where the first pixel is brighter than a half, and a weight to be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        value = self.weight * (x[:, 0, 0, 0] - 0.5)
        return torch.stack([-value, value], 1)


@dataclass(frozen=True, kw_only=True)
class Sets:
    """An attack that sets the first pixel of all images, or does something that it may not."""

    to: float = 1.0
    also: Callable[[nn.Module, Tensor], Tensor] = lambda model, x: x
    norms: list[Nearness] = field(default_factory=list)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        self.norms.append(norm)
        x[:, 0, 0, 0] = self.to
        return self.also(model, x)


class Drawing(Bright):
    """The same, of an image with noise."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.1 * torch.randn_like(x))


def named(found: Reading) -> dict[str, float]:
    return {value.name: value.value for value in found.values}


@pytest.fixture
def labelled(data: Data) -> Data:
    """Images of class 0 by their first pixel; every fourth has another label."""
    y = torch.zeros(len(data.test), dtype=torch.long)
    y[::4] = 1
    tensors = data.test.x().clone()
    tensors[:, 0, 0, 0] = torch.linspace(0, 0.4, len(y))
    return replace(data, test=replace(data.test, pixels=tensors, y=y, scale=1.0))


def test_an_image_is_as_far_as_the_model_itself_bears_out(labelled: Data) -> None:
    model, x, attack = Bright().eval(), labelled.test.x(), Sets(to=0.75)
    found = Distances(attack=attack)(model, labelled, Threat("Linf", 0.5)).images["distance"]
    expected = (0.75 - x[:, 0, 0, 0]).double()
    expected[::4] = 0
    assert torch.allclose(found, expected)
    assert attack.norms == ["Linf"]
    missed = Distances(attack=Sets(to=0.45))(model, labelled, Threat("L2", 0.5))
    assert torch.equal(missed.images["distance"] == 0, torch.arange(len(x)) % 4 == 0)
    assert missed.images["distance"][1:4].isinf().all()
    assert named(missed)["none found"] == 0.75
    assert math.isnan(named(missed)["median distance"])
    assert model.weight.requires_grad


@given(LENGTHS, st.floats(0.01, 2))
def test_the_curve_and_the_numbers_against_a_loop(lengths: list[float], eps: float) -> None:
    n, found = len(lengths), reading(torch.tensor(lengths, dtype=torch.float64), eps, "L2 radius")
    stands, median = sum(length > eps for length in lengths), float(np.median(lengths))
    value = found.values[0]
    assert (value.name, value.value, value.n) == ("stands at eps", stands / n, n)
    assert (value.low, value.high) == wilson(stands, n)
    assert named(found)["median distance"] == pytest.approx(
        median if math.isfinite(median) else math.nan, nan_ok=True
    )
    assert named(found)["none found"] == sum(map(math.isinf, lengths)) / n
    (curve,) = found.curves
    assert curve.x.tolist() == pytest.approx([k * eps / 20 for k in range(41)])
    assert curve.y.tolist() == [sum(length > x for length in lengths) / n for x in curve.x.tolist()]
    assert curve.y[20] == pytest.approx(stands / n, abs=1e-9) or any(
        math.isclose(length, eps) for length in lengths
    )


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3) | st.just(math.inf)), min_size=1))
def test_together_an_image_is_as_far_as_the_nearest_of_all(
    pairs: list[tuple[float, float]],
) -> None:
    each = torch.tensor(pairs, dtype=torch.float64).T
    readings = {str(k): reading(row, 1.25, "L1 radius") for k, row in enumerate(each)}
    found = Nearest()(readings)
    least = reading(each.amin(0), 1.25, "L1 radius")
    assert torch.equal(found.images["distance"], least.images["distance"])
    assert repr(found.values) == repr(least.values)
    assert torch.equal(found.curves[0].y, least.curves[0].y)
    assert all(
        named(found)["stands at eps"] <= named(r)["stands at eps"] for r in readings.values()
    )


def test_what_an_attack_may_not_do(labelled: Data) -> None:
    def out(model: nn.Module, x: Tensor) -> Tensor:
        return x + 1

    def not_a_number(model: nn.Module, x: Tensor) -> Tensor:
        return x * torch.nan

    def trains(model: nn.Module, x: Tensor) -> Tensor:
        next(model.parameters()).data.mul_(2)
        return x

    model, threat = Bright().eval(), Threat("Linf", 0.1)
    for also, said in ((out, "left"), (not_a_number, "NaN"), (trains, "changed the model")):
        with pytest.raises(AttackError, match=said):
            Distances(attack=Sets(also=also))(model, labelled, threat)


def test_a_radius_in_one_norm_says_nothing_in_another(data: Data) -> None:
    for norm, said in (("L2", "says nothing in L0"), ("flow", "no distance|says nothing")):
        with pytest.raises(AttackError, match=said):
            Distances(attack=Sets(), norm="L0")(Bright().eval(), data, Threat(norm, 0.1))  # type: ignore[arg-type]
    with pytest.raises(AttackError, match="no distance in flow"):
        Distances(attack=Sets())(Bright().eval(), data, Threat("flow", 0.1))
    pixels = Distances(attack=Sets(), norm="L0", eps=3.0)(Bright().eval(), data, Threat("L2", 0.1))
    assert pixels.curves[0].x_label == "changed pixels"
    assert pixels.curves[0].x[-1] == 6


def test_measured_kept_and_read_again(labelled: Data, tmp_path: Path) -> None:
    asked = {"far": Distances(attack=Sets(to=0.9)), "vain": Distances(attack=Sets(to=0.0))}
    both = Suite(measures=asked, verdict="none", together=Nearest())
    (found,) = measure(Bright().eval(), both, labelled, [Threat("Linf", 0.7)], 0, lambda *_: None)
    path = tmp_path / "outcomes.npz"
    path.write_bytes(pack(found.outcomes))
    kept = unpack(path).measured
    vain, together = kept["image.vain.distance"], kept["image.together.distance"]
    assert np.isinf(vain).any()
    assert np.array_equal(together, kept["image.far.distance"])
    x = labelled.test.x()
    expected = distance(Sets(to=0.9)(Bright().eval(), x.clone(), x, "Linf"), x, "Linf")
    assert together[1] == pytest.approx(expected[1].item())


def test_an_attack_that_finds_more_can_only_lower_robust_accuracy(data: Data) -> None:
    """Naturally wrong images count at every radius, so a curve starts at natural accuracy."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    found = Distances(attack=FMN(steps=10))(model, data, Threat("L2", 0.5))
    with torch.no_grad():
        natural = (model(data.test.x()).argmax(1) == data.test.y).double().mean()
    assert found.curves[0].y[0] == natural
    assert (found.curves[0].y.diff() <= 0).all()


@pytest.mark.parametrize("name", ["minnorm", "minnorm_linf", "minnorm_l2", "minnorm_l0"])
def test_suites_say_what_they_mean_and_share_one_norm(name: str) -> None:
    found = suite(name)
    assert found.verdict == "none"
    assert isinstance(found.together, Nearest)
    assert "upper bound" in found.note
    norms = {look.norm for look in found.measures.values() if isinstance(look, Distances)}
    assert norms == {"L0" if name == "minnorm_l0" else None}


def test_a_model_that_draws_has_no_nearest_wrong_image(data: Data, threat: Threat) -> None:
    """One wrong answer of many would count as a distance, or as none found."""
    with pytest.raises(AttackError, match="the model draws"):
        Distances(attack=Sets())(Drawing().eval(), data, threat)
    found = Distances(attack=Sets(), looks=5)(Drawing().eval(), data, threat)
    assert found.values[0].name == "stands at eps"
