"""Intervals of differences: their formula, and that they cover what they should."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from robench.analysis.differences import Outcome, of_values, paired


def draws(
    seed: int, images: int, seeds: int, apart: float, spread: float
) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of two methods on the same images, whose true shares differ by ``apart``."""
    random = np.random.default_rng(seed)
    hard = random.random(images)  # shared by both
    ours, theirs = [], []
    for _ in range(seeds):
        level = 0.5 + spread * random.standard_normal(2)
        ours.append(hard < level[0] + apart)
        theirs.append(hard < level[1])
    return ours, theirs


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_same_outcomes_do_not_differ(seeds: int) -> None:
    ours, _ = draws(0, 200, seeds, 0.1, 0.02)
    found = paired(ours, ours)
    assert (found.mean, found.low, found.high, found.seeds) == (0, 0, 0, seeds)


def test_swapping_the_two_turns_the_sign() -> None:
    ours, theirs = draws(1, 200, 3, 0.1, 0.02)
    one, other = paired(ours, theirs), paired(theirs, ours)
    assert one.mean == -other.mean
    assert (one.low, one.high) == (-other.high, -other.low)


def test_one_seed_has_the_normal_interval_of_paired_images() -> None:
    ours, theirs = draws(2, 400, 1, 0.05, 0.0)
    gained, lost = (ours[0] & ~theirs[0]).sum(), (theirs[0] & ~ours[0]).sum()
    variance = (gained + lost - (gained - lost) ** 2 / 400) / 400**2  # McNemar's form
    found = paired(ours, theirs)
    assert found.mean == pytest.approx((gained - lost) / 400)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * variance**0.5, rel=2e-3)


def test_values_have_students_interval_over_seeds() -> None:
    ours, theirs = np.array([0.9, 0.8, 0.85]), np.array([0.7, 0.75, 0.72])
    low, high = ttest_1samp(ours - theirs, 0).confidence_interval(0.95)
    found = of_values(ours, theirs, halves=1.0)
    assert (found.low, found.high) == pytest.approx((low, high))
    alone = of_values(ours[:1], theirs[:1], halves=0.05)
    assert (alone.low, alone.high) == pytest.approx((0.15, 0.25))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Images and trainings drawn anew each time; the true difference is 0.05."""
    for seeds in (1, 3):
        spread = 0.0 if seeds == 1 else 0.03  # with one seed trainings do not vary
        found = [paired(*draws(k, 300, seeds, 0.05, spread)) for k in range(400)]
        covered = np.mean([one.low <= 0.05 <= one.high for one in found])
        assert 0.92 <= covered <= 1.0
