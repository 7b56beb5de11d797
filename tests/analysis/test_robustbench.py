"""Entries for RobustBench: their fields, numbers as there, and what a reader has to know."""

import json
from pathlib import Path

import pytest

from robench.analysis.robustbench import UNKNOWN, entries, export
from robench.errors import ConfigError, StoreError
from robench.evaluation.stored import read_outcomes
from robench.store.records import read_record, write_record
from tests.committed import cell, evaluation, failed, retrained, taken

MADRY = "madry-digits-digitscnn-s0"

FIELDS = [
    "link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue",
    "architecture", "eps", "clean_acc", "reported", "autoattack_acc", "footnote", "unreliable",
]  # fmt: skip
"""As in RobustBench's model_info/cifar10/L2/Sehwag2021Proxy.json."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return taken(tmp_path / "results", MADRY)


def test_an_entry_for_every_full_verdict(results: Path) -> None:
    found = entries(results)
    assert len(found.files) == 4  # standard at four radii; quick is an upper bound
    for path, entry in found.files.items():
        assert list(entry) == FIELDS
        assert path.parts[:2] == ("digits", "Linf")
        assert path.suffix == ".json"
        assert all(entry[name] == "" for name in UNKNOWN)
        assert json.loads(json.dumps(entry)) == entry
    assert {entry["eps"] for entry in found.files.values()} == {"1/16", "1/8", "3/16", "1/4"}


def test_numbers_are_those_of_the_outcomes(results: Path) -> None:
    path = evaluation(cell(results))
    outcomes = read_outcomes(path, read_record(path))
    (entry,) = (e for e in entries(results).files.values() if e["eps"] == "3/16")
    assert entry["clean_acc"] == f"{100 * outcomes.stands['natural'].mean():.2f}"
    assert entry["autoattack_acc"] == f"{100 * outcomes.worst.mean():.2f}"
    assert entry["number_forward_passes"] == 1
    assert "test images" not in entry["footnote"]  # all of them


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"findings": {"gap": {"status": "up", "detail": ""}}}, "gradient masking: gap."),
        ({"order": ["natural", "adaptive"], "stands": {"natural": 300, "adaptive": 9}}, "adaptive"),
    ],
)
def test_what_a_reader_has_to_know(changes: dict[str, object], said: str, results: Path) -> None:
    path = evaluation(cell(results))
    record = read_record(path)
    costs = {**record["costs"], "adaptive": record["costs"]["natural"]}
    write_record(path, record | {"costs": costs} | changes)
    (entry,) = (e for e in entries(results).files.values() if e["eps"] == "3/16")
    assert said in entry["footnote"]
    assert entry["unreliable"] == ("findings" in changes)


def test_limits_stand_in_the_footnote(tmp_path: Path) -> None:
    """Of the committed results those that were attacked and trained on parts."""
    short = Path(__file__).parents[2] / "results" / "mnist-10k"
    for entry in entries(short).files.values():
        assert "Attacked on 200 test images only, not the whole test set." in entry["footnote"]
        assert "Trained on 10,000 images only." in entry["footnote"]


def test_what_failed_or_is_of_other_weights_is_none(results: Path) -> None:
    failed(evaluation(cell(results)))
    assert len(entries(results).files) == 3
    older = evaluation(cell(results), "best-standard-Linf-1_4")
    write_record(older, read_record(older) | {"weights": "0" * 64})
    assert len(entries(results).files) == 2
    evaluation(cell(results), "best-standard-Linf-1_8").with_suffix(".npz").unlink()
    found = entries(results)
    assert (len(found.files), len(found.problems)) == (1, 1)
    failed(cell(results) / "cell.json")
    with pytest.raises(ConfigError, match="no evaluation with a full verdict"):
        entries(results)


def test_other_evaluations_have_other_names(results: Path) -> None:
    names = set(entries(results).files)
    retrained(cell(results), b"other")
    assert set(entries(results).files) == names  # the same cell
    assert len({name.name for name in names}) == 4


def test_a_link_out_of_foreign_results_is_not_followed(results: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (results / "robustbench").symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="leads out of"):
        export(results)
    assert not list((tmp_path / "outside").iterdir())
    place, found = export(results, tmp_path / "there")
    assert {path.relative_to(place) for path in place.rglob("*.json")} == set(found.files)
