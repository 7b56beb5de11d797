"""The paired bootstrap: its limits, and that it agrees with a plain one and with the formula."""

import numpy as np
import pytest

from robench.analysis.bootstrap import bootstrapped
from robench.analysis.differences import Outcome, paired
from tests.analysis.test_differences import draws


def plain(ours: list[Outcome], theirs: list[Outcome], resamples: int) -> tuple[float, float]:
    """Draw after draw, image by image."""
    random = np.random.default_rng(7)
    apart = np.stack(ours).astype(float) - np.stack(theirs).astype(float)
    seeds, images = apart.shape
    means = [
        apart[random.integers(seeds, size=seeds)][:, random.integers(images, size=images)].mean()
        for _ in range(resamples)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_it_is_the_bootstrap_of_seeds_and_images(seeds: int) -> None:
    ours, theirs = draws(3, 300, seeds, 0.05, 0.02)
    found = bootstrapped(ours, theirs, 20_000)
    length = found.high - found.low
    assert (found.low, found.high) == pytest.approx(plain(ours, theirs, 8000), abs=0.08 * length)
    assert found.mean == pytest.approx(paired(ours, theirs).mean)
    assert found.seeds == seeds


def test_one_seed_is_near_the_formula() -> None:
    ours, theirs = draws(4, 1000, 1, 0.05, 0.0)
    found, formula = bootstrapped(ours, theirs), paired(ours, theirs)
    assert (found.low, found.high) == pytest.approx((formula.low, formula.high), abs=0.004)


def test_the_same_seed_draws_the_same() -> None:
    ours, theirs = draws(5, 997, 10, 0.05, 0.02)
    assert bootstrapped(ours, theirs) == bootstrapped(ours, theirs)
    assert bootstrapped(ours, theirs) != bootstrapped(ours, theirs, 1000, seed=1)


def test_swapping_the_two_turns_the_sign() -> None:
    ours, theirs = draws(6, 400, 3, 0.1, 0.02)
    one, other = bootstrapped(ours, theirs, 20_000), bootstrapped(theirs, ours, 20_000)
    assert one.mean == -other.mean
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.005)


@pytest.mark.parametrize("images", [1, 50])
def test_the_same_outcomes_do_not_differ(images: int) -> None:
    ours, _ = draws(7, images, 2, 0.1, 0.0)
    found = bootstrapped(ours, ours)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_one_image_has_no_interval() -> None:
    found = bootstrapped([np.array([True])], [np.array([False])])
    assert (found.mean, found.low, found.high) == (1, 1, 1)
