"""McNemar's exact test: the same as scipy's and statsmodels', for all pairs at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as theirs

from robench.analysis.mcnemar import discordant, mcnemar


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_counts_and_p_are_those_of_scipy_and_statsmodels(share: float) -> None:
    outcomes = np.random.default_rng(0).random((6, 150)) < share
    only = discordant(outcomes)
    found = mcnemar(only, only.T)
    for i, first in enumerate(outcomes):
        for j, second in enumerate(outcomes):
            b, c = int((first & ~second).sum()), int((second & ~first).sum())
            assert (only[i, j], only[j, i]) == (b, c)
            cross = [[int((first & second).sum()), b], [c, int((~first & ~second).sum())]]
            if b + c:
                assert found[i, j] == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-12)
                assert found[i, j] == pytest.approx(theirs(cross, exact=True).pvalue, rel=1e-12)
            else:
                assert found[i, j] == 1


@given(st.integers(0, 400), st.integers(0, 400))
def test_p_is_a_chance_and_blind_to_the_order(b: int, c: int) -> None:
    one, other = np.array(b), np.array(c)
    p = float(mcnemar(one, other))
    assert 0 <= p <= 1
    assert p == mcnemar(other, one)
    assert p == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1, rel=1e-9, abs=1e-300)


def test_equal_outcomes_are_no_difference() -> None:
    outcomes = np.random.default_rng(1).random((1, 50)).repeat(3, 0) < 0.5
    only = discordant(outcomes)
    assert (only == 0).all()
    assert (mcnemar(only, only.T) == 1).all()


def test_a_single_image_shows_nothing() -> None:
    only = discordant(np.array([[True], [False]]))
    assert only.tolist() == [[0, 1], [0, 0]]
    assert (mcnemar(only, only.T) == 1).all()
