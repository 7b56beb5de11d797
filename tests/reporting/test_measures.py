"""Tables of what suites measure, in a terminal of 80 columns."""

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from robench.analysis.measured import Measured
from robench.analysis.summary import Estimate
from robench.reporting.measures import blocks, terminal

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
