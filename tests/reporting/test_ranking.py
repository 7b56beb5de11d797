"""The ranking of a report: its table, its ladder and what training cost say one thing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.conftest import Outcome

RESULTS = Path(__file__).parents[2] / "results" / "digits"


def test_table_and_figures_of_the_order_agree(robench: Callable[..., Outcome]) -> None:
    for method in ("natural", "madry", "trades"):  # which log nothing: fewer figures to draw
        for cell in RESULTS.glob(f"cells/{method}-*"):
            shutil.copytree(cell, Path("results/local/cells") / cell.name)
    assert robench("report").code == 0
    folder = Path("results/local/report")
    page = (folder / "report.md").read_text(encoding="utf-8")
    rows = pd.read_csv(folder / "tables" / "tables.csv").query("eps == '3/16'")
    whole = rows.set_index(["suite", "method"])["worst"]
    tables = sorted((folder / "tables").glob("ranking-*.csv"))
    assert len(tables) == 2
    for path in tables:
        ranks = pd.read_csv(path)
        suite = "standard" if "standard" in path.stem else "quick"
        assert list(ranks["worst"]) == list(whole[suite][ranks["method"]])
        assert ranks["group"].is_monotonic_increasing
        behind = ranks["group"].duplicated()
        assert behind.any()
        assert ranks["behind"].notna().equals(behind)  # the first of a group is behind nobody
        assert ((ranks["low"] <= 0) & (ranks["high"] >= 0))[behind].all()
        ladder, cost = (
            folder / "figures" / f"{kind}-{path.stem.removeprefix('ranking-')}"
            for kind in ("ranking", "cost")
        )
        steps = pd.read_csv(ladder.with_suffix(".csv"))
        assert steps[["group", "method", "worst"]].equals(ranks[["group", "method", "worst"]])
        spent = pd.read_csv(cost.with_suffix(".csv")).set_index("method")["passes"]
        assert dict(spent) == dict(ranks.set_index("method")["passes"])
        for figure in (ladder, cost):
            assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
            assert f"(figures/{figure.name}.png)" in page
