"""Asked to stop, a run saves and says how to go on; what goes on ends as if nothing had been."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.executors.outside import Outside

GRID = (
    "run", "-m", "madry", "--suite", "quick", "--train-limit", "96", "--test-limit", "20",
    "--set", "recipe.epochs=20", "--set", "recipe.validate_every=10",
)  # fmt: skip
"""A few seconds of training."""


def wait_for(folder: Path, epoch: int) -> None:
    """Until a cell has reached an epoch."""
    for _ in range(1200):
        for curve in folder.rglob("train.csv"):
            if curve.read_bytes().count(b"\n") > epoch:
                return
        time.sleep(0.05)
    raise AssertionError(f"no cell reached epoch {epoch}")


def worker_of(outside: Outside) -> int:
    """The process that works on the one cell."""
    log = next(outside.folder.rglob("log.txt")).read_text()
    return int(log.splitlines()[0].rpartition(" ")[2])


def weights(outside: Outside) -> dict[str, str]:
    (folder,) = outside.cells()
    record = json.loads((folder / "cell.json").read_text())
    assert record["status"] == "ok"
    return {name: kept["sha256"] for name, kept in record["checkpoints"].items()}


def curve(outside: Outside) -> list[list[str]]:
    """train.csv without its seconds."""
    (folder,) = outside.cells()
    lines = [line.split(",") for line in (folder / "train.csv").read_text().splitlines()]
    at = lines[0].index("seconds")
    return [line[:at] + line[at + 1 :] for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    """The same grid, undisturbed."""
    undisturbed = Outside(tmp_path_factory.mktemp("whole"))
    assert undisturbed.here(*GRID, "--jobs", "0")[0] == 0
    undisturbed.end()
    return undisturbed


def check_goes_on(outside: Outside, whole: Outside, jobs: str) -> None:
    """The same command ends what was begun, without its first epochs; here or in a worker."""
    code, said = outside.here(*GRID, "--jobs", jobs)
    assert code == 0, said
    assert "epoch 1/20" not in said
    assert "epoch 20/20" in said
    assert weights(outside) == weights(whole)
    assert curve(outside) == curve(whole)
    unlike = ["seconds", "train_seconds", "peak_mb", "train_peak_mb"]
    assert outside.table().drop(columns=unlike).equals(whole.table().drop(columns=unlike))
    assert not list(outside.folder.rglob("*.pt"))
    assert not list(outside.folder.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jobs", "number", "code"), [("0", signal.SIGTERM, 143), ("1", signal.SIGINT, 130)]
)
def test_a_signal_saves_and_says_how_to_go_on(
    jobs: str, number: signal.Signals, code: int, outside: Outside, whole: Outside
) -> None:
    def disturb() -> None:
        wait_for(outside.folder, 4)
        os.kill(os.getpid(), number)

    if jobs == "0":
        process = outside.begin(*GRID, "--jobs", jobs)
        wait_for(outside.folder, 4)
        process.ask(number)
        ended, said = process.end(60)
    else:  # another process would import torch twice, for itself and for its worker
        ended, said = outside.here(*GRID, "--jobs", jobs, meanwhile=disturb)
    assert ended == code
    last = said.splitlines()[-1]
    assert last == f"error: stopped by {number.name}; the same command goes on from here"
    assert list(outside.folder.rglob("cell.state-*.pt"))
    check_goes_on(outside, whole, jobs)


@pytest.mark.slow
def test_a_second_signal_leaves_at_once(outside: Outside) -> None:
    process = outside.begin("run", "-m", "fatal[end=hang]", *GRID[3:])
    wait_for(outside.folder, 10)
    time.sleep(1)  # it hangs by now
    process.ask(signal.SIGINT)
    assert not process.ends(3)
    process.ask(signal.SIGINT)
    assert process.end(5)[0] == 130
    assert list(outside.folder.rglob("cell.state-*.pt"))


@pytest.mark.slow
def test_workers_of_a_killed_parent_save_and_end(outside: Outside, whole: Outside) -> None:
    process = outside.begin(*GRID)
    wait_for(outside.folder, 4)
    process.kill()
    worker = worker_of(outside)
    for _ in range(200):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.1)
    else:
        os.kill(worker, signal.SIGKILL)
        raise AssertionError("the worker went on without its parent")
    check_goes_on(outside, whole, "0")


@pytest.mark.slow
def test_a_worker_that_is_stopped_alone_leaves_the_run_unfinished(
    outside: Outside, whole: Outside
) -> None:
    def disturb() -> None:
        wait_for(outside.folder, 4)
        os.kill(worker_of(outside), signal.SIGTERM)

    code, said = outside.here(*GRID, meanwhile=disturb)
    assert code == 1, said
    assert "its process was stopped, and has saved" in said
    check_goes_on(outside, whole, "0")
