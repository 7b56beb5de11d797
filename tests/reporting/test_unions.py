"""The table of the union over threat models, from the command line to the page."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from robench.analysis.summary import Estimate
from robench.analysis.union import UnionLine, UnionTable
from robench.reporting import markdown, terminal, unions
from tests.cli.grids import QUICK
from tests.conftest import Outcome

Robench = Callable[..., Outcome]


def estimate(mean: float, spread: float | None = None) -> Estimate:
    return Estimate(mean, spread, mean - 0.1, mean + 0.1, 1 if spread is None else 3)


SHARED: dict[str, object] = {
    "dataset": "digits", "model": "cnn", "recipe": "", "radii": "Linf 3/16, L1 3", "n": 100,
    "suite": "Linf by standard, L1 by autoattack", "verdict": "full", "train_limit": None,
    "test_limit": 100,
}  # fmt: skip
LINES = (
    UnionLine("multinorm", "Linf 3/16", "", (0, 1, 2), estimate(0.9, 0.01),
              (estimate(0.6, 0.02), estimate(0.5, 0.03)), estimate(0.4, 0.04)),
    UnionLine("madry", "L1 3", "lr=1 (shared 2)", (0,), estimate(0.95),
              (estimate(0.2), estimate(0.7)), estimate(0.15)),
)  # fmt: skip
TABLE = UnionTable(SHARED, "best", LINES)


def test_a_table_says_what_its_numbers_are() -> None:
    assert unions.title(TABLE) == (
        "Union over threat models: digits, cnn, attacked at Linf 3/16, L1 3"
    )
    assert unions.header(TABLE) == [
        "method", "trained at", "natural", "Linf 3/16", "L1 3", "union",
    ]  # fmt: skip
    assert unions.cells(TABLE) == [
        ["multinorm", "Linf 3/16", "90.0 ± 1.0", "60.0 ± 2.0", "50.0 ± 3.0", "40.0 ± 4.0"],
        ["madry † (n=1)", "L1 3", "95.0", "20.0", "70.0", "15.0 (5.0-25.0)"],
    ]
    text = markdown.written(unions.table(TABLE))
    for part in ("### Union over", "| multinorm | Linf 3/16 | 90.0", "100 test images",
                 "standard deviation over up to 3 seeds", "95 % Wilson interval",
                 "L1 by autoattack: AutoAttack's four attacks.", "limited to 100 test images",
                 "† departs from the shared recipe", "Checkpoint: best."):  # fmt: skip
        assert part in text


def test_two_norms_make_a_table_and_one_makes_none(robench: Robench) -> None:
    grid = ("run", "-m", "natural", *QUICK, "--suite", "quick", "--checkpoints", "best")
    assert robench(*grid).code == 0
    assert robench("report", "--no-figures").code == 0
    local = Path("results/local")
    assert not (local / "union.csv").exists()
    assert not list(local.glob("report/tables/*union*"))
    assert robench(*grid, "--norm", "L2", "--train-norm", "Linf").code == 0
    shown = robench("report", "--no-figures")
    assert shown.code == 0
    assert "Union over threat models: digits, digitscnn" in shown.out
    (row,) = pd.read_csv(local / "union.csv").to_dict("records")
    worst = pd.read_csv(local / "results.csv").query("attack == 'worst'").set_index("norm")
    for norm in ("Linf", "L2"):
        assert row[f"accuracy_{norm}"] == worst.loc[norm, "robust_accuracy"]
    assert row["union_accuracy"] <= worst["robust_accuracy"].min()
    assert row["n"] == 40
    (table,) = local.glob("report/tables/digits-digitscnn-union-Linf-L2-*.md")
    assert table.read_text("utf-8") in (local / "report" / "report.md").read_text("utf-8")
    # When the second norm is gone, so is the table.
    for path in local.glob("cells/*/eval/*-L2-*"):
        path.unlink()
    assert robench("report", "--no-figures").code == 0
    assert not (local / "union.csv").exists()
    assert not table.exists()


@pytest.mark.parametrize("columns", ["20", "80"])
def test_no_number_is_broken(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console = Console(
        highlight=False, width=max(int(columns), terminal.least_width(unions.table(TABLE)))
    )
    with console.capture() as drawn:
        console.print(terminal.shown(unions.table(TABLE)))
    for row in unions.cells(TABLE):
        assert all(cell in drawn.get() for cell in row[2:])
