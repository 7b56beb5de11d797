"""Which lines of a table are a sweep over a setting, and its figure."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from robench.analysis.summary import Estimate, Line, Summary
from robench.reporting.figures.sweeps import sweeps
from tests.conftest import Outcome

RESULTS = Path(__file__).parents[2] / "results" / "port"
SOME = Estimate(0.5, None, 0.4, 0.6, 1)


def summary(*labels: str, worst: bool = True) -> Summary:
    lines = tuple(
        Line(label, "", "", (0,), SOME, {}, {"1/8": SOME} if worst else {}, None, 0.0, ())
        for label in labels
    )
    return Summary({}, "best", ("1/8",), "1/8", (), lines, ())


def values(found: Summary) -> dict[tuple[str, str], list[float]]:
    return {(s.label, s.setting): [value for value, _ in s.lines] for s in sweeps(found)}


def test_three_values_of_a_number_make_one_in_order() -> None:
    found = values(summary("trades[beta=6]", "madry", "trades[beta=1/3]", "trades[beta=1e1]"))
    assert found == {("trades", "beta"): [1 / 3, 6, 10]}


@pytest.mark.parametrize(
    "labels",
    [
        ["trades[beta=1]", "trades[beta=3]", "trades"],  # a default has no value in its name
        ["trades[beta=1]", "mart[beta=3]", "alp[beta=6]"],
        ["multinorm[how=max]", "multinorm[how=avg]", "multinorm[how=eat]"],
        ["a[b=none]", "a[b=1/0]", "a[b=1e999]", "a[b=nan]", "a[b=]", "a[b]", "a[]"],
        ["trades[beta=1]", "trades[beta=3]", "trades[beta=6] @0a1b2c3d"],  # another version
        ["ema[inner=trades,inner.beta=1]", "awp[inner=trades,inner.beta=3]", "x[inner.beta=6]"],
    ],
)
def test_nothing_else_does(labels: list[str]) -> None:
    assert values(summary(*labels)) == {}


def test_one_for_each_value_of_another_setting() -> None:
    labels = [f"a[b={b},c={c}]" for b in (2, 1, 3) for c in ("x", "y")]
    assert values(summary(*labels)) == {
        ("a[c=x]", "b"): [1, 2, 3],
        ("a[c=y]", "b"): [1, 2, 3],
    }


def test_what_was_not_attacked_at_the_headline_radius_is_left_out() -> None:
    assert sweeps(summary("a[b=1]", "a[b=2]", "a[b=3]", worst=False)) == []


def test_the_figure_is_the_tables_lines(robench: Callable[..., Outcome]) -> None:
    shutil.copytree(RESULTS / "cells", "results/local/cells")
    assert robench("report").code == 0
    folder = Path("results/local/report")
    (path,) = (folder / "figures").glob("sweep-*.csv")
    drawn, lines = pd.read_csv(path), pd.read_csv(folder / "tables" / "tables.csv")
    lines = lines.set_index("method")
    assert list(drawn["value"]) == [250, 1000, 4000]
    for row in drawn.to_dict("records"):
        line = lines.loc[f"port[samples={row['value']:g}]"]
        assert (row["method"], row["setting"]) == ("port", "samples")
        assert (row["natural"], row["worst"]) == (line["natural"], line["worst"])
        assert row["low"] <= row["worst"] <= row["high"]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert f"(figures/{path.stem}.png)" in (folder / "report.md").read_text(encoding="utf-8")
