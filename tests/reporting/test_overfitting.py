"""Best against last on a page: means, the difference in points, and how many seeds."""

import pytest

from robench.analysis.differences import Difference
from robench.analysis.overfitting import Overfitting
from robench.analysis.summary import summaries
from robench.reporting import markdown, overfitting
from robench.reporting.overfitting import cells, header, tidy
from tests.analysis.test_summary import evaluation, table

(SUMMARY,) = summaries(table(*(evaluation(95, 70, 60, seed=s, cell=f"c{s}") for s in range(3))))

FOUND = [
    Overfitting("a", 0.6, 0.53, Difference(0.07, 0.01, 0.13, 3)),
    Overfitting("b", 0.5, 0.51, Difference(-0.01, -0.02, 0.0, 1)),
]


def test_rows_are_in_per_cent_and_points() -> None:
    rows = cells(SUMMARY, FOUND)
    assert rows[0] == ["a", "60.0", "53.0", "+7.0 (+1.0 to +13.0)"]
    assert rows[1][0] == "b (n=1)"
    assert all(len(row) == len(header()) for row in rows)


def test_the_page_says_what_was_attacked() -> None:
    page = markdown.written(overfitting.table(SUMMARY, FOUND))
    assert "### Robust overfitting: digits, cnn" in page
    assert "against all attacks of quick at Linf 3/16" in page
    assert "| a | 60.0 | 53.0 | +7.0 (+1.0 to +13.0) |" in page


def test_the_csv_is_unrounded() -> None:
    frame = tidy(SUMMARY, FOUND)
    assert list(frame["difference"]) == pytest.approx([0.07, -0.01])
    assert list(frame["eps"]) == ["3/16", "3/16"]
    assert tidy(SUMMARY, []).empty
