"""Disks that are full, and folders that cannot be written to or are gone, cost no other cell."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from robench import saving
from robench.store import files
from tests.cli.grids import QUICK, Robench, table

GRID = ("run", "-m", "natural,madry", *QUICK)


def fail_for(monkeypatch: pytest.MonkeyPatch, part: str, code: int, times: int = 10**6) -> None:
    """Let the system refuse to write files whose path has a part."""
    write, left = files._write, times

    def failing(path: Path, data: bytes) -> None:
        nonlocal left
        if part in str(path) and left:
            left -= 1
            raise OSError(code, os.strerror(code))
        write(path, data)

    monkeypatch.setattr(files, "_write", failing)
    monkeypatch.setattr(files, "WAITS", (0.0, 0.0))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_cell_that_cannot_be_written_costs_no_other(
    code: int, said: str, robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_for(patch, "natural-digits", code)
        done = robench(*GRID)
    assert done.code == 1
    assert "natural seed 0 is left as it is: cannot write" in done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert set(table()["method"]) == {"madry"}
    again = robench(*GRID)
    assert again.code == 0
    assert set(table()["method"]) == {"natural", "madry"}


def test_a_disk_that_is_full_for_a_moment_costs_nothing(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for(monkeypatch, "natural-digits", errno.ENOSPC, times=2)
    assert robench(*GRID).code == 0


def test_weights_that_cannot_be_written_cost_the_last_epoch_only(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SHARE", 0)  # epochs so short would not each be saved
    grid = ("run", "-m", "natural", *QUICK, "--set", "recipe.epochs=5")
    with monkeypatch.context() as patch:
        fail_for(patch, ".safetensors", errno.ENOSPC)
        assert robench(*grid).code == 1
    again = robench(*grid)
    assert again.code == 0
    assert [line for line in again.err.splitlines() if "epoch " in line and "train " in line] == [
        line for line in again.err.splitlines() if "epoch 5/5" in line
    ]


def test_a_folder_that_vanishes_is_said_and_costs_no_other_cell(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files._write

    def vanishing(path: Path, data: bytes) -> None:
        if path.name == "train.csv" and "natural-" in str(path):
            shutil.rmtree(path.parent)
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write", vanishing)
        done = robench(*GRID)
    assert done.code == 1
    assert "natural seed 0 is left as it is: the lock" in done.err
    assert "was lost" in done.err
    assert set(table()["method"]) == {"madry"}
    assert robench(*GRID).code == 0


def test_a_results_folder_that_cannot_be_made_is_one_line(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for(monkeypatch, "results", errno.EROFS)
    done = robench(*GRID)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "Read-only file system" in done.err
