"""How far a grid is, from its files alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.grids import QUICK, Robench

GRID = ("run", "-m", "natural,crashing,madry", *QUICK)


def counted(robench: Robench) -> tuple[str, str]:
    """Trainings and evaluations by status."""
    trainings, evaluations, *_ = robench("status").out.splitlines()
    return trainings.removeprefix("trainings    "), evaluations.removeprefix("evaluations  ")


def test_what_has_not_begun_is_waiting(robench: Robench, mood: Callable[[str], None]) -> None:
    mood("interrupt")
    assert robench(*GRID).code == 130
    assert counted(robench) == ("1 ok, 1 running, 1 waiting", "2 ok, 4 waiting")
    assert "interrupted: epoch 0, results/local/cells/crashing" in robench("status").out
    mood("crash")
    assert robench(*GRID).code == 1
    assert counted(robench) == ("1 failed, 2 ok", "4 ok")
    assert robench("status").code == 1
    mood("well")
    assert robench(*GRID, "--rerun", "failed").code == 0
    assert counted(robench) == ("3 ok", "6 ok")
    assert robench("status").code == 0


def test_what_is_only_locked_has_not_begun(once: Robench, robench: Robench) -> None:
    once("run", "-m", "natural", *QUICK)
    locked = Path("results/local/cells/madry-digits-digitscnn-s0-12345678")
    locked.mkdir()
    (locked / ".lock").touch()
    (locked / "log.txt").touch()  # a worker that has not come to write a record
    (locked / "events.jsonl").touch()
    assert counted(robench) == ("1 ok", "2 ok")
    assert robench("report").err == ""


def test_damage_is_counted_and_named(once: Robench, robench: Robench) -> None:
    once("run", "-m", "natural", *QUICK)
    for path in Path("results/local/cells").glob("*/eval/best-*.npz"):
        path.unlink()
    assert counted(robench) == ("1 ok", "1 damaged, 1 ok")
    assert ".npz is missing or damaged" in robench("status").out
    assert robench("status").code == 1


@pytest.mark.parametrize("content", ['{"a": 1}', "{", "[]"])
def test_a_damaged_grid_or_curve_hides_no_count(
    content: str, once: Robench, robench: Robench
) -> None:
    once("run", "-m", "natural", *QUICK)
    (grid,) = Path("results/local/grids").glob("*.json")
    grid.write_text(content, encoding="utf-8")
    assert counted(robench) == ("1 ok", "2 ok")
    assert str(grid) in robench("status").out


def test_folder_from_the_environment(robench: Robench, monkeypatch: pytest.MonkeyPatch) -> None:
    robench("run", "-m", "natural", *QUICK, "--results", "elsewhere")
    assert robench("status").code == 2
    monkeypatch.setenv("ROBENCH_RESULTS", "elsewhere")
    assert robench("status").out.splitlines()[-1] == "elsewhere"
    assert robench("report").out.splitlines()[-1] == "elsewhere/report/index.html"
