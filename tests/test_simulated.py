"""The simulation's own logic: its truth is true, and its tests are those of a report."""

import numpy as np
import pytest

from benchmarks import simulated
from robench.analysis.comparisons import _tests, _together
from robench.analysis.worst import Side


@pytest.mark.parametrize("spread", simulated.LEVELS.values())
def test_a_method_has_the_accuracy_that_was_asked_for(spread: float) -> None:
    random = np.random.default_rng(0)
    found = [simulated.methods(random, (0.7,), 2000, 1, spread)[0][0].mean() for _ in range(200)]
    assert np.mean(found) == pytest.approx(0.7, abs=0.01)


def test_a_level_moves_accuracy_by_what_its_name_says() -> None:
    random = np.random.default_rng(1)
    hard = random.standard_normal(20_000)
    for name, points in (("1 point", 0.01), ("3 points", 0.03)):
        found = [
            simulated.trained(random, hard, 0.5, simulated.LEVELS[name]).mean() for _ in range(400)
        ]
        assert np.std(found) == pytest.approx(points, rel=0.15)


def test_pairs_are_put_together_as_a_report_does() -> None:
    every = simulated.methods(np.random.default_rng(2), (0.5,) * simulated.TABLE, 200, 3, 0.05)
    tests = _tests([Side(str(i), dict(enumerate(one)), False) for i, one in enumerate(every)])
    assert simulated.together(every) == [_together(tests[pair]) for pair in simulated.PAIRS]


def test_no_draw_of_a_fair_test_is_held_against_it() -> None:
    rows = list(simulated.wilsons(np.random.default_rng(3), 0))
    assert all(0.9 < row.share < 1 for row in rows)
    assert simulated.table(rows).row_count == 12
