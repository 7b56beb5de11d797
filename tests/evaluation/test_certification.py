"""Certified radii: against Clopper-Pearson by scipy and a classifier whose radius is known."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm
from torch import Tensor, nn

from robench.adversary.measure import Reading
from robench.adversary.suite import Suite
from robench.check import tiny
from robench.data.load import Data, Images
from robench.evaluation.certification import ABSTAINED, Certification, certified_radius
from robench.evaluation.measured import measure
from robench.intervals import wilson
from robench.models.smoothed import Smoothed
from robench.seeds import seeded
from robench.threat import Threat


@given(
    draws=st.integers(1, 3000),
    share=st.floats(0, 1),
    sigma=st.sampled_from([0.12, 0.5, 1.0]),
    alpha=st.sampled_from([1e-6, 0.001, 0.05, 0.5]),
)
def test_the_radius_is_sigma_times_the_normal_quantile_of_clopper_and_pearsons_bound(
    draws: int, share: float, sigma: float, alpha: float
) -> None:
    votes = round(share * draws)
    test = binomtest(votes, draws, alternative="greater")
    least = test.proportion_ci(1 - alpha, method="exact").low
    ours = certified_radius(votes, draws, sigma, alpha)
    if least <= 0.5:
        assert ours == ABSTAINED
    else:
        assert ours == pytest.approx(sigma * norm.ppf(least), rel=1e-6, abs=1e-9)


def test_more_votes_never_give_a_smaller_radius_and_half_of_them_none() -> None:
    radii = [certified_radius(votes, 200, 0.25, 0.001) for votes in range(201)]
    assert radii == sorted(radii)
    assert set(radii[:101]) == {ABSTAINED}
    proven = [radius for radius in radii if radius != ABSTAINED]
    assert proven == sorted(set(proven))  # each vote counts
    assert 0 < proven[0] < 0.02
    assert math.isfinite(proven[-1])  # all votes of a few draws are no certainty
    assert proven[-1] == pytest.approx(0.25 * norm.ppf(0.001 ** (1 / 200)))


def test_one_draw_proves_nothing_and_a_stricter_level_less() -> None:
    assert certified_radius(1, 1, 1.0, 0.001) == ABSTAINED
    strict, loose = (certified_radius(90, 100, 1.0, alpha) for alpha in (1e-6, 0.1))
    assert 0 < strict < loose < norm.ppf(0.9)


class Plane(nn.Module):
    """Class 1 on one side of a hyperplane, class 0 on the other; the noise does not move it."""

    normal: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("normal", torch.tensor([3.0, -1.0, 2.0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        side = (x.flatten(1) - 0.5) @ self.normal
        return torch.stack([-side, side], 1)

    def distance(self, x: Tensor) -> Tensor:
        """From the hyperplane, positive on the side of class 1."""
        return ((x.flatten(1) - 0.5) @ self.normal / self.normal.norm()).double()


def around_a_plane(count: int, seed: int = 0) -> Data:
    """Images of four pixels on both sides of the plane, labelled by their side."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 2, 2), generator=generator).to(torch.uint8)
    y = (Plane().distance(pixels.float() / 255) > 0).long()
    images = Images(pixels, y, 255.0, torch.arange(count))
    facts = replace(tiny.FACTS, shape=(1, 2, 2), num_classes=2)
    return Data("plane", facts, images, images, images, digest="plane")


L2 = Threat("L2", 0.2)


def read(model: nn.Module, looks: Certification, data: Data, seed: int = 0) -> Reading:
    with seeded(seed):
        return looks(model, data, L2)


def shown(reading: Reading) -> dict[str, float]:
    return {value.name: value.value for value in reading.values}


def test_no_more_radii_than_alpha_allows_are_larger_than_the_true_one() -> None:
    # The smoothed answer changes exactly at the hyperplane, whatever sigma is.
    data, alpha = around_a_plane(300), 0.05
    found = read(Plane(), Certification(sigma=0.4, guesses=20, draws=400, alpha=alpha), data)
    true = Plane().distance(data.test.x()).abs()
    right, radius = found.images["right"], found.images["radius"]
    true = torch.where(right, true, 0.0)  # of the wrong answer nothing can be certified
    too_large = int((radius > true).sum())
    assert 0 < too_large <= binom.ppf(0.999, 300, alpha)


def test_with_many_draws_the_radius_comes_near_the_true_one() -> None:
    data = around_a_plane(12)
    looks = Certification(sigma=0.4, guesses=100, draws=50_000)
    found = read(Plane(), looks, data)
    true = Plane().distance(data.test.x()).abs()
    radius, proven = found.images["radius"], found.images["radius"] >= 0
    assert proven.sum() >= 10
    assert (radius[proven] <= true[proven]).all()
    assert (true[proven] - radius[proven]).amax() < 0.02


def test_an_image_on_the_plane_is_not_certified() -> None:
    pixels = torch.full((40, 1, 2, 2), 128, dtype=torch.uint8)  # 0.002 from it
    images = Images(pixels, torch.ones(40, dtype=torch.long), 255.0, torch.arange(40))
    data = replace(around_a_plane(4), test=images)
    found = read(Plane(), Certification(sigma=1.0, draws=500), data)
    assert shown(found)["abstained"] > 0.9
    assert shown(found)["right, at any radius"] < 0.1


def test_a_smoothed_classifier_is_judged_by_its_own_noise_and_network() -> None:
    data = around_a_plane(20)
    ours = read(Smoothed(Plane(), 0.5, 7), Certification(sigma=0.1, draws=300), data)
    same = read(Plane(), Certification(sigma=0.5, draws=300), data)
    other = read(Plane(), Certification(sigma=0.1, draws=300), data)
    assert torch.equal(ours.images["radius"], same.images["radius"])
    assert not torch.equal(ours.images["radius"], other.images["radius"])


class Counter(nn.Module):
    """Answers one class a call, and counts the copies."""

    def __init__(self, *answers: int) -> None:
        super().__init__()
        self.answers, self.seen = list(answers), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        answer = self.answers[(len(self.seen) - 1) % len(self.answers)]
        return nn.functional.one_hot(torch.full((len(x),), answer), 2).float()


def test_other_draws_bound_the_answer_than_those_that_guessed_it() -> None:
    data = around_a_plane(1)
    agreeing, torn = Counter(1), Counter(0, 1)  # torn: the guess says 0, the bound's draws say 1
    looks = Certification(sigma=0.3, guesses=30, draws=70)
    for model, radius in ((agreeing, certified_radius(70, 70, 0.3, 0.001)), (torn, ABSTAINED)):
        found = read(model, looks, data)
        assert [len(x) for x in model.seen] == [30, 70]
        assert found.images["radius"].tolist() == [radius]
        copies = torch.cat(model.seen).flatten(1)
        assert len(copies.unique(dim=0)) == 100
        assert (copies - data.test.x().flatten(1)).std() == pytest.approx(0.3, rel=0.1)


def test_many_draws_are_made_in_parts_and_all_are_counted() -> None:
    model = Counter(1)
    found = read(model, Certification(sigma=0.3, guesses=1, draws=2500), around_a_plane(1))
    assert sum(len(x) for x in model.seen) == 2501
    assert max(len(x) for x in model.seen) <= 1000
    assert found.images["radius"].item() == certified_radius(2500, 2500, 0.3, 0.001)


def test_certified_accuracy_falls_with_the_radius_and_agrees_with_the_numbers() -> None:
    data = around_a_plane(60)
    # Every third label is wrong: no radius makes those count.
    y = torch.where(torch.arange(60) % 3 == 0, 1 - data.test.y, data.test.y)
    data = replace(data, test=replace(data.test, y=y))
    found = read(Plane(), Certification(sigma=0.3, draws=300), data)
    numbers, (curve,) = shown(found), found.curves
    right, radius = found.images["right"], found.images["radius"]
    assert (curve.y.diff() <= 0).all()
    assert curve.y[0] > curve.y[-1]
    assert curve.x.tolist()[:: len(curve.x) - 1] == [0, 4 * 0.2]
    assert curve.y[0] == numbers["right, at any radius"]
    assert curve.y[10] == numbers["certified at eps"] > 0
    count = sum(bool(ok) and r >= 0.2 for ok, r in zip(right, radius.tolist(), strict=True))
    assert numbers["certified at eps"] == count / 60
    assert numbers["abstained"] == (radius == ABSTAINED).double().mean() > 0
    mean = sum(r for ok, r in zip(right, radius.tolist(), strict=True) if ok and r > 0) / 60
    assert numbers["mean certified radius"] == pytest.approx(mean)
    assert numbers["right, at any radius"] <= 40 / 60
    share = found.values[0]
    assert (share.low, share.high, share.n) == (*wilson(count, 60), 60)


def test_one_seed_gives_one_result_and_another_another() -> None:
    data = around_a_plane(10)
    suite = Suite(measures={"s": Certification(draws=200)}, verdict="none", norms=("L2",))

    def radii(seed: int) -> Tensor:
        torch.randn(seed + 1)  # what was drawn before must not matter
        (found,) = measure(Plane(), suite, data, [L2], seed, lambda *_: None)
        return found.readings["s"].images["radius"]

    assert torch.equal(radii(1), radii(1))
    assert not torch.equal(radii(1), radii(2))
