"""Intervals against the formula, and their coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from robench.intervals import wilson


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_against_the_formula(pair: tuple[int, int]) -> None:
    right, n = pair
    z, p = 1.959963984540054, right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = wilson(right, n)
    assert low == pytest.approx(max(centre - half, 0), abs=1e-9)
    assert high == pytest.approx(min(centre + half, 1), abs=1e-9)
    assert low <= p + 1e-12
    assert high >= p - 1e-12


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_against_scipy_to_the_last_bit(pair: tuple[int, int]) -> None:
    interval = binomtest(*pair).proportion_ci(0.95, method="wilson")
    assert wilson(*pair) == (interval.low, interval.high)


def test_it_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    for n, p in ((200, 0.5), (360, 0.63), (1000, 0.05)):
        counts = rng.binomial(n, p, 2000)
        bounds = {count: wilson(int(count), n) for count in set(counts)}
        inside = [bounds[count][0] <= p <= bounds[count][1] for count in counts]
        assert 0.93 < np.mean(inside) < 0.97
