"""What can go from a results folder goes, and nothing else."""

import os
import shutil
import time
from pathlib import Path

import pytest

from robench.errors import ConfigError
from robench.store.locks import LEASE, Lock
from robench.store.records import read_record, write_record
from robench.upkeep.cleaning import clean, look
from robench.upkeep.leftovers import Kind
from tests.committed import cell, evaluation, failed, files, retrained, shown, taken

MADRY, NATURAL = "madry-digits-digitscnn-s0", "natural-digits-digitscnn-s0"
KINDS: list[Kind] = ["failed", "orphans"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two cells, one of them with weights."""
    folder = taken(tmp_path / "results", MADRY, NATURAL)
    retrained(cell(folder, MADRY), b"weights")
    return folder


def gone(results: Path, kind: Kind) -> set[str]:
    """What a cleaning removes; it is what was listed before, and afterwards there is no more."""
    before, seen = files(results), look(results, kind)
    assert files(results) == before
    done = clean(results, kind)
    after = files(results)
    assert [(one.path, one.bytes) for one in done.found] == [
        (one.path, one.bytes) for one in seen.found
    ]
    assert after.items() <= before.items()
    assert done.bytes >= sum(len(before[name]) for name in before.keys() - after.keys())
    assert not look(results, kind).found
    return {Path(name).name for name in before.keys() - after.keys()}


def state(path: Path, record: str = "") -> Path:
    """What something could go on from; said so in a record."""
    file = path.with_name(f"{path.stem}.state-0123.pt")
    file.write_bytes(b"state")
    if record:
        saved = {"file": file.name, "sha256": "0", "format": 1}
        write_record(path, read_record(path) | {"saved": saved})
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_fine_goes(kind: Kind, results: Path) -> None:
    assert gone(results, kind) == set()


def test_a_failed_training_goes_with_all_it_left(results: Path) -> None:
    path = cell(results, NATURAL)
    shown(evaluation(path))
    failed(path / "cell.json", "diverged")
    state(path / "cell.json", "saved")
    (path / "log.txt").write_text("oh", encoding="utf-8")
    others = files(cell(results, MADRY))
    assert {"cell.json", "train.csv", "log.txt", "cell.state-0123.pt"} - gone(
        results, "failed"
    ) <= {
        "train.csv"  # a table, which files() does not look at
    }
    assert not path.exists()
    assert files(cell(results, MADRY)) == others


def test_a_failed_evaluation_goes_alone(results: Path) -> None:
    path = evaluation(cell(results, MADRY))
    images = shown(path)
    failed(path)
    saved = state(path, "saved")
    assert gone(results, "failed") == {path.name, images.name, saved.name}


def test_what_somebody_put_beside_it_stays(results: Path) -> None:
    path = cell(results, NATURAL)
    failed(path / "cell.json")
    (path / "notes.txt").write_text("mine", encoding="utf-8")
    gone(results, "failed")
    assert [child.name for child in path.iterdir()] == ["notes.txt"]
    assert not look(results, "orphans").found


def test_orphans_of_every_kind(results: Path) -> None:
    madry, natural = cell(results, MADRY), cell(results, NATURAL)
    alone = evaluation(madry, "best-standard-Linf-1_16")
    images = shown(alone)
    alone.unlink()
    shown(evaluation(madry, "best-standard-Linf-1_4"))
    without = evaluation(madry, "best-standard-Linf-1_8")
    without.with_suffix(".npz").unlink()
    older = evaluation(madry, "best-standard-Linf-3_16")
    shown_by_older = shown(older)
    write_record(older, read_record(older) | {"weights": "0" * 64})
    forgotten = state(evaluation(natural))
    (natural / "damaged").mkdir()
    (natural / "damaged" / "best.safetensors").write_bytes(b"x")
    for name in ("only-locked", "only-logged"):
        (results / "cells" / name).mkdir()
    (results / "cells" / "only-locked" / ".lock").touch()
    (results / "cells" / "only-logged" / "log.txt").touch()
    torn = natural / "eval" / ".x.json.tmp"
    torn.touch()
    assert gone(results, "orphans") == {
        alone.with_suffix(".npz").name, images.name, without.name, older.name,
        older.with_suffix(".npz").name, shown_by_older.name,
        forgotten.name, "best.safetensors", "log.txt",
    }  # fmt: skip
    assert not torn.exists()
    assert {path.name for path in (results / "cells").iterdir()} == {madry.name, natural.name}
    assert (madry / "best.safetensors").exists()
    assert not (natural / "damaged").exists()


def test_what_an_interrupted_evaluation_goes_on_from_stays(results: Path) -> None:
    path = evaluation(cell(results, MADRY))
    failed(path, "running")
    state(path, "saved")
    assert gone(results, "orphans") == set()
    assert gone(results, "failed") == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_that_somebody_works_on_is_left_alone(kind: Kind, results: Path) -> None:
    path = cell(results, NATURAL)
    failed(path / "cell.json")
    (path / "damaged").mkdir()
    (path / "damaged" / "x").touch()
    before = files(results)
    with Lock(path / ".lock").held():
        assert look(results, kind).busy == [path]
        done = clean(results, kind)
    assert (done.busy, done.found, files(results)) == ([path], [], before)
    assert gone(results, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_is_taken_after_the_first_look_counts(
    kind: Kind, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cell(results, NATURAL)
    failed(path / "cell.json")
    (path / "damaged").mkdir()
    (path / "damaged" / "x").touch()
    monkeypatch.setattr("robench.upkeep.cleaning.heartbeat", lambda lock: None)
    before = files(results)
    with Lock(path / ".lock").held():
        done = clean(results, kind)
    assert (done.busy, done.found, files(results)) == ([path], [], before)


def test_unfinished_files_beside_cells_have_to_be_old(results: Path) -> None:
    (results / "grids").mkdir()
    torn = [results / ".results.csv.x.tmp", results / "grids" / ".a.toml.x.tmp"]
    for path in torn:
        path.touch()
    assert not look(results, "orphans").found
    past = time.time() - LEASE - 1
    for path in torn:
        os.utime(path, (past, past))
    assert [one.path for one in clean(results, "orphans").found] == torn
    assert not any(path.exists() for path in torn)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_outside_the_folder_goes(kind: Kind, results: Path, tmp_path: Path) -> None:
    """Results may come from somebody else."""
    outside = tmp_path / "outside" / cell(results, MADRY).name
    shutil.copytree(cell(results, MADRY), outside)
    failed(outside / "cell.json")
    shutil.rmtree(cell(results, MADRY))
    (results / "cells" / outside.name).symlink_to(outside)
    inside = cell(results, NATURAL)
    (inside / "damaged").symlink_to(outside)
    failed(inside / "cell.json")
    before = files(outside)
    done = clean(results, kind)
    assert len(done.problems) == 2
    assert files(outside) == before


def test_a_record_that_cannot_be_read_says_nothing_of_what_lies_beside(results: Path) -> None:
    path = cell(results, MADRY)
    (path / "cell.json").write_text("{}", encoding="utf-8")
    (path / "damaged").mkdir()
    (path / "damaged" / "x").touch()
    before = files(results)
    done = clean(results, "orphans")
    assert (len(done.problems), done.found) == (1, [])
    assert files(results) == before


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no cells"):
        look(tmp_path, "failed")
