"""Published beside measured, as a person reads it."""

import re
from typing import Any

import pytest
from rich.console import Console

from robench.analysis.references import Beside, Published, references
from robench.analysis.summary import summaries
from robench.reporting import markdown, terminal
from robench.reporting import references as shown
from tests.analysis.test_references import entry
from tests.analysis.test_summary import evaluation, table


def found(*published: Published, **columns: Any) -> list[Beside]:
    columns = {"verdict": "full", "suite": "strong", **columns}
    rows = [evaluation(95, 70, 60 + 2 * seed, seed=seed, **columns) for seed in range(2)]
    (summary,) = summaries(table(*rows))
    return references(summary, published)


def written(both: list[Beside]) -> str:
    return markdown.written(shown.table(both))


def test_published_and_measured_have_columns_of_their_own() -> None:
    both = found(entry(), entry(attack="PGD-20", verdict="upper-bound", robust=75.5, n=500))
    assert shown.header(both) == [
        "method", "natural published", "natural measured", "natural points", "robust published",
        "robust measured", "robust points", "source",
    ]  # fmt: skip
    assert shown.cells(both) == [
        ["madry", "90", "95.0 ± 0.0", "-5.0", "70", "61.0 ± 1.4", "+9.0", "(1)"],
        ["madry", "90", "95.0 ± 0.0", "-5.0", "75.5 ↓", "61.0 ± 1.4", "+14.5", "(2)"],
    ]
    text = written(both)
    where = "digits, cnn, trained at Linf 3/16, attacked at Linf 3/16 by strong"
    assert text.startswith(f"### Published beside measured: {where}\n")
    assert "points: claimed minus measured" in text
    assert "Measured on 100 test images, best checkpoint; ± is" in text
    assert "recipe, epochs, choice of checkpoint" in text
    assert "- (1) madry: nobody; AutoAttack\n" in text
    assert "- (2) madry: nobody; PGD-20, weaker than suite strong, 500 images\n" in text
    assert "↓ by a weaker attack than suite strong" in text
    assert "↑" not in text


def test_conditions_stand_with_their_source_and_a_source_once() -> None:
    one = entry(conditions="twice the width", n=10000)
    rows = table(*(evaluation(95, 70, 60, verdict="full", plugin=key) for key in ("a", "b")))
    (summary,) = summaries(rows)
    both = references(summary, [one])
    assert [row[-1] for row in shown.cells(both)] == ["(1)", "(1)"]
    assert shown.sources(both) == [
        "(1) madry: nobody; AutoAttack, 10,000 images; twice the width",
    ]  # fmt: skip


def test_a_weak_suite_says_that_it_gives_an_upper_bound() -> None:
    text = written(found(entry(), verdict="upper-bound"))
    assert "70 ↑" in text
    assert "↑ by a stronger attack than suite strong: what was measured is an upper bound" in text
    assert "↓" not in text


def test_what_is_not_claimed_is_a_dash_and_no_attack_is_judged() -> None:
    weak = {"robust": None, "attack": "", "verdict": "upper-bound"}
    only = found(entry(**weak))
    ((_, natural, _, _, robust, _, points, _),) = shown.cells(only)
    assert (natural, robust, points) == ("90", "-", "-")
    assert "weaker" not in written(only)
    assert shown.cells(found(entry(natural=None)))[0][1:4] == ["-", "95.0 ± 0.0", "-"]


def test_radii_have_a_column_where_there_are_several() -> None:
    rows = table(
        evaluation(95, 70, 60, verdict="full"),
        evaluation(95, 80, 75, verdict="full", eps="1/16", eps_value=1 / 16),
    )
    (summary,) = summaries(rows)
    both = references(summary, [entry(), entry(eps="1/16", train_eps="3/16")])
    assert [row[1] for row in shown.cells(both)] == ["1/16", "3/16"]
    assert {len(row) for row in shown.cells(both)} == {len(shown.header(both))}


def test_limited_runs_say_so() -> None:
    text = written(found(entry(), train_limit=1000, test_limit=100))
    assert "For testing only: limited to 1,000 training images and 100 test images." in text


def test_foreign_text_makes_no_link_and_no_cell() -> None:
    text = written(found(entry(source="[a](b) | <i>", conditions="x|y")))
    assert not re.search(r"(?<!\\)(\||<)|\]\(", text.rpartition("\n- ")[2])


@pytest.mark.parametrize("columns", ["20", "80"])
def test_no_number_is_broken(columns: str) -> None:
    both = found(entry(), entry(verdict="upper-bound", source="x"))
    console = Console(
        highlight=False, width=max(int(columns), terminal.least_width(shown.table(both)))
    )
    with console.capture() as drawn:
        console.print(terminal.shown(shown.table(both)))
    for row in shown.cells(both):
        assert all(cell in drawn.get() for cell in row[1:])


def test_the_tidy_table_is_in_shares() -> None:
    (row,) = shown.tidy(found(entry(n=500))).to_dict("records")
    assert row["robust_difference"] == pytest.approx(
        row["robust_published"] - row["robust_measured"]
    )
    assert row["natural_difference"] == pytest.approx(
        row["natural_published"] - row["natural_measured"]
    )
    assert (row["robust_published"], row["n"], row["published_n"]) == (0.7, 100, 500)
    assert (row["seeds"], row["strength"], row["source"]) == (2, "alike", "nobody")
