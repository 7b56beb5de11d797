"""Tables of what suites measure, in a terminal of 80 columns."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from robench.analysis.measured import Drawn, Measured
from robench.analysis.summary import Estimate
from robench.reporting.figures import curves
from robench.reporting.measures import blocks, number, terminal

KEYS = ("dataset", "model", "train_norm", "train_eps", "suite", "norm", "eps", "checkpoint")
NAMES = [f"AUC right-wrong of the attacked, logistic, {k} eps" for k in ("1", "1.5", "2")]


def table(labels: list[str], names: list[str]) -> Measured:
    numbers = dict.fromkeys(names, Estimate(0.123, 0.456, 0.1, 0.2, 3))
    shared: dict[str, object] = {**dict.fromkeys(KEYS, "some"), "train_limit": None}
    shared["test_limit"] = None
    return Measured(shared, tuple(names), dict.fromkeys(labels, numbers), (), (), "")


def shown(found: Measured) -> str:
    console = Console(width=80, highlight=False)
    with console.capture() as drawn:
        console.print(terminal(found))
    return drawn.get()


@given(st.lists(st.text("ab, ", min_size=1, max_size=6), unique=True))
def test_every_number_has_one_place(names: list[str]) -> None:
    found = blocks(names)
    assert sorted(name for block in found for name in block) == sorted(names)
    assert all(1 <= len(block) <= 3 for block in found)


def test_numbers_of_one_family_stand_together() -> None:
    found = blocks(["mean", "loss, 1", "right, at all", "loss, 2", "noise"])
    assert found == [["mean", "right, at all", "noise"], ["loss, 1", "loss, 2"]]


def test_settings_and_numbers_are_whole_at_80_columns() -> None:
    text = shown(table(["tla[negative=random]", "tla[weight=0]"], NAMES))
    assert max(map(len, text.splitlines())) <= 80
    assert "tla[negative=random]" in text
    assert "tla[weight=0]" in text
    assert text.count("0.123 ± 0.456") == 2 * 3


@pytest.mark.parametrize(
    ("mean", "spread", "said"),
    [
        (0.7344, 0.0123, "0.734 ± 0.012"),
        (1.0, None, "1.000"),
        (83.25, 25.46, "83.2 ± 25.5"),
        (983.75, 264.1, "984 ± 264"),
        (-204.0, None, "-204"),
    ],
)
def test_a_number_has_as_many_places_as_it_can_bear(
    mean: float, spread: float | None, said: str
) -> None:
    assert number(Estimate(mean, spread, mean, mean, 3)) == said


@pytest.mark.parametrize(
    ("x", "scale"),
    [([1.0, 30.0, 5000.0], "counts"), ([0.0, 2000.0], "linear"), ([1.0, 5.0], "linear")],
    ids=["queries", "radii", "severities"],
)
def test_what_goes_from_one_to_thousands_is_drawn_on_a_logarithmic_axis(
    x: list[float], scale: str
) -> None:
    flat = [0.5] * len(x)
    drawn = Drawn("curve: of", "x", "y", {"madry": (x, flat, flat, flat)})
    (chart,) = curves.charts(replace(table(["madry"], NAMES), curves=(drawn,)))
    assert (chart.kind, chart.x.scale, chart.of) == ("curve-of", scale, ["madry"])
    assert list(chart.rows["x"]) == x
