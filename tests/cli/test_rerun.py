"""Running again: what is done is skipped, what is missing is done, once."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from robench.analysis.table import RESULTS
from tests.cli.grids import QUICK, Robench, table, trained
from tests.executors.outside import Outside


def test_running_again_runs_nothing(robench: Robench) -> None:
    first = robench("run", "-m", "natural", *QUICK)
    before = {p: p.stat().st_mtime_ns for p in Path("results/local/cells").rglob("*.*")}
    again = robench("run", "-m", "natural", *QUICK)
    assert (first.code, again.code) == (0, 0)
    assert len(trained(first)) == 1
    assert not trained(again)
    after = {p: p.stat().st_mtime_ns for p in Path("results/local/cells").rglob("*.*")}
    assert before == after


def test_more_evaluations_train_nothing_again(once: Robench, robench: Robench) -> None:
    once("run", "-m", "natural", *QUICK)
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16")
    assert not trained(more)
    assert len(table()) == 2 * 3 + 2 * 2 * 3  # the radii of a sweep share outcomes, one alone not


def test_rerun_always_gives_the_same_numbers(robench: Robench) -> None:
    robench("run", "-m", "madry", *QUICK)
    first = table()
    again = robench("run", "-m", "madry", *QUICK, "--rerun", "always")
    assert len(trained(again)) == 1
    ours = [c for c in RESULTS if not c.endswith(("seconds", "peak_mb"))]
    pd.testing.assert_frame_equal(first[ours], table()[ours])


def test_an_interrupted_cell_is_begun_again(robench: Robench, mood: Callable[[str], None]) -> None:
    mood("interrupt")
    stopped = robench("run", "-m", "natural,crashing", *QUICK)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1].startswith("error: interrupted; the same command goes on")
    assert len(table()[table()["method"] == "natural"]) == 6
    status = robench("status")
    assert "1 ok, 1 running" in status.out
    mood("well")
    assert robench("run", "-m", "natural,crashing", *QUICK).code == 0


@pytest.mark.slow
def test_two_processes_share_a_folder_and_compute_each_cell_once(tmp_path: Path) -> None:
    wanted = ("--suite", "quick", "--checkpoints", "best", "--set", "recipe.epochs=2")
    grid = ("run", "-m", "natural,madry", "--seeds", "0-1", *QUICK, *wanted)
    outside = Outside(tmp_path)
    try:  # one computes by itself, the other has a worker
        other = outside.begin(*grid, "--jobs", "0")
        code, said = outside.here(*grid, "--jobs", "1")
        ended, also_said = other.end()
    finally:
        outside.end()
    assert (code, ended) == (0, 0)
    lines = [line for log in (said, also_said) for line in log.splitlines() if "epoch 2/2" in line]
    assert len(lines) == len({line.split(":")[0] for line in lines}) == 4
    assert len(outside.table()) == 4 * 3


def test_a_cell_stands_in_the_table_of_the_grid_that_asked_last(robench: Robench) -> None:
    robench("run", "-m", "natural[recipe.lr=0.01]", *QUICK)
    assert table()["deviates"].notna().all()
    again = robench("run", "-m", "natural", *QUICK, "--set", "recipe.lr=0.01")
    assert not trained(again)
    assert table()["deviates"].isna().all()
    assert table()["settings"].isna().all()
