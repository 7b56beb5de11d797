"""What benchmarks/chaos.py would notice: each kind of loss is seen, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.storm.compare import Verdict, compare
from robench.cli.main import main
from robench.store.records import read_record, write_record
from tests.cli.grids import QUICK

FINE = Verdict().counts()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calm") / "results"
    grid = ("-m", "natural", *QUICK, "--suite", "quick", "--jobs", "0", "-q")
    with pytest.raises(SystemExit) as end:
        main(("run", *grid, "--results", str(folder)))
    assert not end.value.code
    return folder


@pytest.fixture
def stormy(calm: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(calm, tmp_path / "results"))


def one(results: Path, pattern: str) -> Path:
    return sorted(results.glob(f"cells/*/{pattern}"))[0]


def lose(results: Path) -> None:
    one(results, "eval/*.json").unlink()


def fail(results: Path) -> None:
    path = one(results, "cell.json")
    write_record(path, read_record(path) | {"status": "failed", "reason": "out of luck"})


def tear(results: Path) -> None:
    path = one(results, "cell.json")
    path.write_bytes(path.read_bytes()[:99])


def leave(results: Path) -> None:
    one(results, "cell.json").with_name(".cell.json.abc.tmp").touch()


def flip(results: Path) -> None:
    path = one(results, "last.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def differ(results: Path) -> None:
    path = one(results, "eval/*.json")
    record = read_record(path)
    write_record(path, record | {"carried": record["carried"] + 1})


def count(results: Path) -> None:
    path = results / "results.csv"
    path.write_text(path.read_text().replace("natural", "unnatural"))


def repeat(results: Path) -> None:
    path = one(results, "events.jsonl")
    lines = path.read_text().splitlines()
    ended = [line for line in lines if json.loads(line)["event"] == "finished"]
    path.write_text("\n".join([*lines, ended[0], ""]))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lose, "cells lost"),
        (fail, "cells lost"),
        (tear, "files torn"),
        (leave, "files torn"),
        (flip, "bits different"),
        (differ, "bits different"),
        (count, "bits different"),
        (repeat, "computed twice"),
    ],
)
def test_every_kind_of_loss_is_seen(
    damage: Callable[[Path], None], kind: str, calm: Path, stormy: Path
) -> None:
    assert compare(calm, stormy, set()).counts() == FINE
    damage(stormy)
    assert compare(calm, stormy, set()).counts() == FINE | {kind: 1}


def test_what_was_damaged_may_be_computed_twice(calm: Path, stormy: Path) -> None:
    repeat(stormy)
    (cell,) = (path.name for path in (stormy / "cells").iterdir())
    assert compare(calm, stormy, {cell}).counts() == FINE
