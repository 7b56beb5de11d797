"""Two cells side by side: settings, weights, cost, and images."""

from pathlib import Path

import numpy as np
import pytest

from robench.analysis.contrast import contrast
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes, pack, unpack
from robench.evaluation.stored import read_outcomes
from robench.store.files import checksum
from robench.store.records import CellFolder, read_record, write_record
from tests.committed import cell, evaluation, fallen, retrained, taken

MADRY, TRADES = "madry-digits-digitscnn-s0", "trades-digits-digitscnn-s0"


@pytest.fixture
def madry(tmp_path: Path) -> CellFolder:
    return CellFolder(cell(taken(tmp_path / "one", MADRY)))


@pytest.fixture
def again(tmp_path: Path) -> CellFolder:
    """The same in another folder."""
    return CellFolder(cell(taken(tmp_path / "two", MADRY)))


@pytest.fixture
def trades(tmp_path: Path) -> CellFolder:
    return CellFolder(cell(taken(tmp_path / "three", TRADES)))


def test_a_cell_and_its_copy_are_equal(madry: CellFolder, again: CellFolder) -> None:
    for found in (contrast(madry, madry), contrast(madry, again)):
        assert found.is_equal
        assert not found.is_other
        assert len(found.pairs.paired) == 12
        assert all(pair.is_equal and pair.p == 1 for pair in found.pairs.paired)


def test_where_it_was_computed_makes_no_other_cell(madry: CellFolder, again: CellFolder) -> None:
    record = read_record(again.record)
    record["environment"]["torch"] = "9.9"
    write_record(again.record, record | {"seconds": 1.5})
    found = contrast(madry, again)
    assert [(part.name, part.other) for part in found.apart["environment"]] == [("torch", "9.9")]
    assert [(part.name, part.other) for part in found.apart["cost"]] == [("seconds", "1.5")]
    assert not found.is_equal
    assert not found.is_other


def test_methods_and_settings_are_told_apart(madry: CellFolder, trades: CellFolder) -> None:
    found = contrast(madry, trades)
    said = {part.name: (part.one, part.other) for part in found.apart["identity"]}
    assert said["method"] == ("madry", "trades")
    assert said["settings.beta"] == ("none", "6.0")
    assert not {"dataset", "data", "seed", "norm", "eps", "recipe.lr"} & said.keys()
    back = {part.name: (part.other, part.one) for part in contrast(trades, madry).apart["identity"]}
    assert back == said
    assert found.is_other


def test_accuracies_are_those_of_the_outcomes(madry: CellFolder, trades: CellFolder) -> None:
    found = contrast(madry, trades)
    assert len(found.pairs.paired) == 12
    (pair,) = (p for p in found.pairs.paired if p.name == "best standard Linf 3/16")
    ours, theirs = (
        read_outcomes(path, read_record(path))
        for path in map(evaluation, (madry.path, trades.path))
    )
    assert pair.natural == (ours.stands["natural"].mean(), theirs.stands["natural"].mean())
    assert pair.robust == (ours.worst.mean(), theirs.worst.mean())
    only = sum(bool(a) and not b for a, b in zip(ours.worst, theirs.worst, strict=True))
    assert pair.only[0] == only
    assert pair.only[0] - pair.only[1] == ours.worst.sum() - theirs.worst.sum()


def test_one_image_is_seen(madry: CellFolder, again: CellFolder) -> None:
    fallen(evaluation(again.path))
    found = contrast(madry, again)
    (pair,) = (pair for pair in found.pairs.paired if not pair.is_equal)
    assert (pair.name, pair.only, pair.p) == ("best standard Linf 3/16", (1, 0), 1.0)
    assert found.is_other


def test_other_test_images_are_not_compared(madry: CellFolder, again: CellFolder) -> None:
    path = evaluation(again.path)
    there = unpack(path.with_suffix(".npz"))
    moved = Outcomes(there.stands, there.y, np.roll(there.origin, 1), there.carried)
    path.with_suffix(".npz").write_bytes(pack(moved))
    sha256 = checksum(path.with_suffix(".npz"))
    write_record(path, read_record(path) | {"outcomes": sha256})
    (pair,) = (pair for pair in contrast(madry, again).pairs.paired if not pair.is_equal)
    assert (pair.n, pair.note) == (0, "other test images: not compared")


def test_what_only_one_has_is_counted(madry: CellFolder, again: CellFolder) -> None:
    evaluation(again.path).unlink()
    assert contrast(madry, again).pairs.alone == (1, 0)
    assert contrast(again, madry).pairs.alone == (0, 1)


def test_other_weights_are_named(madry: CellFolder, again: CellFolder) -> None:
    retrained(again.path, b"other")
    found = contrast(madry, again)
    assert [part.name for part in found.apart["weights"]] == ["best.weights", "last.weights"]
    assert found.is_other


def test_damage_is_named(madry: CellFolder, again: CellFolder) -> None:
    evaluation(again.path).with_suffix(".npz").write_bytes(b"")
    (problem,) = contrast(madry, again).pairs.problems
    assert "is missing or damaged" in problem
    again.record.write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError):
        contrast(madry, again)
