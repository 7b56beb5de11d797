"""One results folder of several: united, never averaged, and the same after an interruption."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robench.analysis.table import Gathered, read
from robench.errors import ConfigError
from robench.store.asked import asked, keep
from robench.store.files import read_json
from robench.store.locks import Lock
from robench.store.records import read_record, write_record
from robench.upkeep import copying
from robench.upkeep.merging import Duplicates, merge
from tests.committed import cell, evaluation, failed, fallen, files, retrained, shown, taken

MADRY, NATURAL, TRADES = (f"{name}-digits-digitscnn-s0" for name in ("madry", "natural", "trades"))


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Two cells."""
    return taken(tmp_path / "one", MADRY, NATURAL)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """One of them and a third."""
    return taken(tmp_path / "other", MADRY, TRADES)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "merged"


def rows(folder: Path) -> list[str]:
    """What a folder's results.csv says, in any order."""
    return sorted(read(folder)[0]["results"].to_csv(index=False).splitlines())


def test_it_has_what_each_has(one: Path, other: Path, into: Path) -> None:
    merged = merge([one, other], into)
    assert (merged.cells, merged.evaluations) == (3, 36)
    assert not merged.duplicates
    assert not merged.problems
    assert files(into) == files(one) | files(other)
    assert set(rows(into)) == set(rows(one)) | set(rows(other))
    assert sorted((into / "results.csv").read_text("utf-8").splitlines()) == rows(into)


def test_a_folder_merged_with_itself_is_itself(one: Path, into: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(one, twin)
    merge([one, twin], into)
    assert files(into) == files(one)
    merge([twin], into)  # and again, into what is there
    assert files(into) == files(one)


def test_evaluations_of_the_same_weights_are_united(one: Path, other: Path, into: Path) -> None:
    whole = files(cell(one, MADRY))
    for number, folder in enumerate((one, other)):
        for path in list((cell(folder, MADRY) / "eval").glob("*.json"))[number::2]:
            path.unlink()
            path.with_suffix(".npz").unlink()
    assert not merge([one, other], into).duplicates
    assert files(cell(into, MADRY)) == whole


def test_the_same_outcomes_packed_otherwise_are_equal(one: Path, other: Path, into: Path) -> None:
    import hashlib
    import io

    import numpy as np

    path = evaluation(cell(other, MADRY))
    with np.load(path.with_suffix(".npz")) as arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **{name: arrays[name] for name in arrays.files})  # not compressed
    path.with_suffix(".npz").write_bytes(buffer.getvalue())
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    assert sha256 != read_record(path)["outcomes"]
    write_record(path, read_record(path) | {"outcomes": sha256})
    assert not merge([one, other], into).duplicates


@pytest.mark.parametrize("duplicates", ["error", "last", "all"])
@pytest.mark.parametrize("first", [True, False])
def test_images_come_from_whoever_has_them(
    first: bool, duplicates: Duplicates, one: Path, other: Path, into: Path
) -> None:
    few = shown(evaluation(cell(one if first else other, MADRY)), 3)
    many = shown(evaluation(cell(other if first else one, MADRY)), 5)
    merge([one], into)
    assert files(into) == files(one)
    merge([other], into, duplicates)
    merge([one], into, duplicates)
    assert not merge([one, other], into, duplicates).duplicates
    assert files(cell(into, MADRY)) == files(cell(many.parents[3], MADRY))
    assert (cell(into, MADRY) / "eval" / few.name).read_bytes() == many.read_bytes()


def test_damaged_images_are_left_out(one: Path, into: Path) -> None:
    images = shown(evaluation(cell(one, MADRY)))
    images.write_bytes(b"others")
    (problem,) = merge([one], into).problems
    assert problem == f"{images} is damaged; left out"
    assert not (cell(into, MADRY) / "eval" / images.name).exists()
    assert rows(into) == rows(one)


def test_weights_come_from_whoever_has_them(one: Path, other: Path, into: Path) -> None:
    for folder, keeps in ((one, False), (other, True)):
        retrained(cell(folder, MADRY), b"weights", keep=keeps)
    assert not merge([one, other], into).problems
    there = cell(into, MADRY)
    assert (there / "best.safetensors").read_bytes() == b"weights"
    assert read_record(there / "cell.json")["checkpoints"]["best"]["sha256"] in (
        there / "best.safetensors.sha256"
    ).read_text("utf-8")
    assert not (cell(into, TRADES) / "best.safetensors").exists()


def test_damaged_weights_and_records_are_left_out(one: Path, other: Path, into: Path) -> None:
    retrained(cell(one, MADRY), b"weights")
    shutil.rmtree(cell(other, MADRY))
    (cell(one, MADRY) / "best.safetensors").write_bytes(b"weight!")
    (cell(one, NATURAL) / "cell.json").write_text("{}", encoding="utf-8")
    evaluation(cell(other, TRADES)).with_suffix(".npz").write_bytes(b"")
    problems = merge([one, other], into).problems
    assert len(problems) == 3
    for part in ("best.safetensors is damaged", "cell.json", ".npz is missing or damaged"):
        assert any(part in problem for problem in problems)
    assert not (cell(into, MADRY) / "best.safetensors").exists()
    assert (cell(into, MADRY) / "last.safetensors").exists()
    assert not list((into / "cells").glob(f"{NATURAL}*"))
    assert len(list((cell(into, TRADES) / "eval").glob("*.json"))) == 11


def weights(folder: Path) -> None:
    retrained(cell(folder, MADRY), b"other weights")


def outcomes(folder: Path) -> None:
    fallen(evaluation(cell(folder, MADRY)))


CHANGES = [weights, outcomes]


@pytest.mark.parametrize("change", CHANGES)
def test_duplicates_are_errors_that_change_nothing(
    change: Callable[[Path], None], one: Path, other: Path, into: Path
) -> None:
    change(other)
    with pytest.raises(ConfigError, match=f"{MADRY}.* has other {change.__name__}") as error:
        merge([one, other], into)
    assert str(one) in str(error.value)
    assert str(other) in str(error.value)
    assert not into.exists()


def test_every_duplicate_is_named(one: Path, other: Path, into: Path) -> None:
    shutil.copytree(cell(one, NATURAL), other / "cells" / cell(one, NATURAL).name)
    weights(other)
    fallen(evaluation(cell(other, NATURAL), "best-standard-Linf-1_16"))
    with pytest.raises(ConfigError, match=f"{MADRY}.*{NATURAL}"):
        merge([one, other], into)


@pytest.mark.parametrize("change", CHANGES)
def test_the_last_one_counts(
    change: Callable[[Path], None], one: Path, other: Path, into: Path
) -> None:
    change(other)
    assert len(merge([one, other], into, "last").duplicates) == 1
    assert files(into) == files(one) | files(other)
    merge([one], into, "last")  # what is there comes first, so now it is the other way round
    assert files(cell(into, MADRY)) == files(cell(one, MADRY))


@pytest.mark.parametrize("change", CHANGES)
def test_later_ones_are_kept_apart(
    change: Callable[[Path], None], one: Path, other: Path, into: Path, tmp_path: Path
) -> None:
    change(other)
    third = taken(tmp_path / "third", MADRY)
    retrained(cell(third), b"a third")
    merged = merge([one, other, third], into, "all")
    assert files(cell(into, MADRY)) == files(cell(one, MADRY))
    deeper = into / "duplicates"
    if change is weights:
        assert files(cell(deeper)) == files(cell(other, MADRY))
        deeper /= "duplicates"
        assert files(cell(deeper)) == files(cell(third))
    else:
        found = {path.name for path in (cell(deeper) / "eval").iterdir()}
        path = evaluation(cell(other, MADRY))
        assert found == {path.name, path.with_suffix(".npz").name}
        assert files(cell(deeper / "duplicates")) == files(cell(third))
    assert merged.aside == (into / "duplicates", into / "duplicates" / "duplicates")
    assert not read(into / "duplicates")[1]
    before = files(into)
    assert len(merge([one, other, third], into, "all").duplicates) == len(merged.duplicates)
    assert files(into) == before


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("duplicates", ["last", "all"])
def test_interrupted_anywhere_it_ends_the_same(
    duplicates: Duplicates,
    change: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = (taken(tmp_path / name, MADRY) for name in ("one", "other"))
    for first, folder in enumerate((one, other), 2):
        retrained(cell(folder), b"weights")
        for path in sorted((cell(folder) / "eval").glob("*.json")):
            if not path.name.startswith("best-standard-Linf-3"):
                path.unlink()
                path.with_suffix(".npz").unlink()
        shown(evaluation(cell(folder)), first)
    change(other)
    merge([one], tmp_path / "whole")
    merge([other], tmp_path / "whole", duplicates)
    calls = 0
    real = {name: getattr(copying, name) for name in ("write", "write_record", "remove")}

    def dying(name: str, limit: int) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls > limit:
                raise Killed
            real[name](*arguments)

        return call

    monkeypatch.setattr("robench.analysis.table.write_tables", lambda place: Gathered({}, [], []))
    for limit in range(40):
        into, calls = tmp_path / str(limit), 0
        shutil.copytree(tmp_path / "one", into)
        for name in real:
            monkeypatch.setattr(copying, name, dying(name, limit))
        try:
            merge([other], into, duplicates)
        except Killed:
            for name, function in real.items():
                monkeypatch.setattr(copying, name, function)
            merged = merge([other], into, duplicates)
            assert not merged.problems, limit
        else:
            assert limit > 2
            break
        assert files(into) == files(tmp_path / "whole"), limit
    else:
        pytest.fail("it never came to its end")


def test_what_failed_stands_back(one: Path, other: Path, into: Path) -> None:
    failed(cell(one, MADRY) / "cell.json")
    merged = merge([one, other], into)
    assert read_record(cell(into, MADRY) / "cell.json")["status"] == "ok"
    assert any("is failed; another one stands for it" in note for note in merged.notes)
    failed(evaluation(cell(other, TRADES)))
    third = merge([other], into.with_name("third"))
    assert third.evaluations == 24
    assert read_record(evaluation(cell(into.with_name("third"), TRADES)))["status"] == "failed"


def test_what_is_not_done_is_left_out(one: Path, other: Path, into: Path) -> None:
    failed(cell(one, NATURAL) / "cell.json", "running")
    failed(evaluation(cell(other, TRADES)), "running")
    merged = merge([one, other], into)
    assert (merged.cells, merged.evaluations) == (2, 23)
    assert sum("is not done; left out" in note for note in merged.notes) == 2


def test_a_cell_that_somebody_works_on_is_left_alone(one: Path, other: Path, into: Path) -> None:
    shutil.copytree(one, into)
    outcomes(other)
    with Lock(cell(into, MADRY) / ".lock").held():
        merged = merge([other], into, "last")
    assert any("somebody works on" in problem for problem in merged.problems)
    assert files(cell(into, MADRY)) == files(cell(one, MADRY))
    assert files(cell(into, TRADES)) == files(cell(other, TRADES))


def test_a_damaged_record_in_the_way_is_left_alone(one: Path, other: Path, into: Path) -> None:
    shutil.copytree(one, into)
    (cell(into, MADRY) / "cell.json").write_text("{}", encoding="utf-8")
    before = files(cell(into, MADRY))
    merged = merge([other], into)
    assert any("cannot be trusted" in problem for problem in merged.problems)
    assert files(cell(into, MADRY)) == before


def test_a_link_out_of_the_merged_folder_is_not_followed(
    one: Path, other: Path, into: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside" / cell(one, MADRY).name
    shutil.copytree(cell(one, MADRY), outside)
    before = files(outside)
    (into / "cells").mkdir(parents=True)
    (into / "cells" / outside.name).symlink_to(outside)
    weights(other)
    merged = merge([other], into, "last")
    assert any("a link to a folder" in problem for problem in merged.problems)
    assert files(outside) == before
    assert files(cell(into, TRADES)) == files(cell(other, TRADES))


def test_grids_are_united_and_transfers_are_not(one: Path, other: Path, into: Path) -> None:
    keep(one, "a = 1\n", {"x": ["1"], "y": ["1"]})
    keep(other, "a = 1\n", {"x": ["2"]})
    keep(other, "a = 2\n", {"z": ["3"]})
    (other / "transfer.csv").touch()
    (one / "grid.toml").touch()
    notes = merge([one, other], into).notes
    assert asked(into) == ({"x": {"1", "2"}, "y": {"1"}, "z": {"3"}}, [])
    for path in (into / "grids").glob("*.json"):
        assert read_json(path)
        assert path.with_suffix(".toml").is_file()
    assert [str(name) in note for name, note in zip(("one", "other"), sorted(notes), strict=True)]
    assert any("transfer.csv is not merged" in note for note in notes)
    assert any("grid.toml with its claims is not merged" in note for note in notes)


def test_nonsense(one: Path, into: Path) -> None:
    with pytest.raises(ConfigError, match="holds no cells to merge"):
        merge([one, into], into)
    with pytest.raises(ConfigError, match="comes first as it is"):
        merge([one], one)
    with pytest.raises(ConfigError, match="no way with duplicates is called 'first'"):
        merge([one], into, "first")  # type: ignore[arg-type]
