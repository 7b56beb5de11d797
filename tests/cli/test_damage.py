"""Files that were cut, changed or lost are named, not used, and redone."""

import json
from pathlib import Path

import pytest

from robench.store.records import read_record, write_record
from tests.cli.grids import QUICK, Robench, table, trained


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "protocol"])
def test_a_damaged_record_is_reported_and_redone(
    damage: str, once: Robench, robench: Robench
) -> None:
    once("run", "-m", "natural", *QUICK)
    (record,) = Path("results/local/cells").glob("*/cell.json")
    text = record.read_text(encoding="utf-8")
    record.write_text(
        {
            "cut": text[: len(text) // 2],
            "changed": text.replace('"seed": 0', '"seed": 1'),
            "foreign": "[]",
            "protocol": text.replace('"protocol": 1', '"protocol": 0'),
        }[damage],
        encoding="utf-8",
    )
    report = robench("report")
    assert report.code == 2
    assert "cell.json" in report.err
    again = robench("run", "-m", "natural", *QUICK)
    assert again.code == 0
    assert "cell.json" in again.err
    assert "redone" in again.err
    assert len(trained(again)) == 1
    assert len(table()) == 6


def test_damaged_weights_are_named_moved_aside_and_redone(once: Robench, robench: Robench) -> None:
    once("run", "-m", "natural", *QUICK)
    (weights,) = Path("results/local/cells").glob("*/best.safetensors")
    whole = weights.read_bytes()
    content = bytearray(whole)
    content[-3] ^= 1  # one bit: the file still loads
    weights.write_bytes(content)
    again = robench("run", "-m", "natural", *QUICK)
    assert again.code == 0
    assert f"{weights} is damaged; moved to {weights.parent}/damaged" in again.err
    assert len(trained(again)) == 1
    assert "attack " not in again.err  # the same weights: what was attacked before holds
    assert (weights.parent / "damaged" / weights.name).read_bytes() == content
    assert weights.read_bytes() == whole


def test_lost_weights_are_redone_when_they_are_needed(once: Robench, robench: Robench) -> None:
    once("run", "-m", "natural", *QUICK)
    (weights,) = Path("results/local/cells").glob("*/best.safetensors")
    weights.unlink()
    assert robench("run", "-m", "natural", *QUICK).err.count("trained again") == 0  # not needed
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16", "--checkpoints", "best")
    assert more.code == 0
    assert f"weights in {weights.parent} are missing or damaged; trained again" in more.err
    assert len(trained(more)) == 1
    assert (table()["status"] == "ok").all()
    assert len(table()) == 6 + 3  # one seed, the same weights: what was attacked before holds


def test_outcomes_of_weights_that_are_gone_are_redone_and_said(
    once: Robench, robench: Robench
) -> None:
    once("run", "-m", "natural", *QUICK)
    for weights in Path("results/local/cells").glob("*/*.safetensors"):
        weights.unlink()
    # Weights of another machine differ in their last bits: other outcomes' weights, to all effect.
    for path in Path("results/local/cells").glob("*/eval/*.json"):
        record = read_record(path)
        write_record(path, record | {"weights": f"0{record['weights']}"})
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16", "--checkpoints", "best")
    assert more.code == 0
    assert set(table()["eps"]) == {"1/16", "3/16"}
    assert "is of weights that the cell no longer has; not used" in more.err  # of last


CHANGES: list[tuple[str, str, object]] = [
    ("eval/*.json", "stands", {"natural": 40, "pgd-20": 40, "pgd-20-margin": 40}),
    ("eval/*.json", "order", ["pgd-20-margin", "pgd-20", "natural"]),
    ("eval/*.json", "verdict", "full"),
    ("eval/*.json", "epoch", 7),
    ("cell.json", "label", "another[x=1]"),
    ("cell.json", "label", None),
    ("cell.json", "deviates", "nothing at all"),
    ("cell.json", "troubles", [{"flag": "collapsed", "epoch": 1, "detail": ""}]),
    ("cell.json", "seconds", 0.0),
]


@pytest.mark.parametrize(("where", "name", "value"), CHANGES)
def test_a_changed_record_is_reported_and_redone(
    where: str, name: str, value: object, once: Robench, robench: Robench
) -> None:
    grid = ("run", "-m", "natural", *QUICK, "--checkpoints", "best")
    once(*grid)
    before = table()
    (path,) = Path("results/local/cells").glob(f"*/{where}")
    changed = json.loads(path.read_text()) | {name: value}
    assert changed != json.loads(path.read_text())
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert "was changed after it was written; not used" in robench("report").err
    again = robench(*grid)
    said = " ".join(again.err.split())
    assert f"{path.name} was changed after it was written; not used; moved to" in said
    aside = path.parents[len(Path(where).parts) - 1] / "damaged" / path.name
    assert json.loads(aside.read_text()) == changed
    measured = ["method", "n_stands", "robust_accuracy", "verdict", "epoch", "flags"]
    assert table()[measured].equals(before[measured])


@pytest.mark.parametrize("name", ["train.csv", "best.safetensors.sha256"])
def test_what_the_record_says_as_well_is_written_again(
    name: str, once: Robench, robench: Robench
) -> None:
    once("run", "-m", "natural", *QUICK)
    (file,) = Path("results/local/cells").glob(f"*/{name}")
    before, epochs = file.read_bytes(), Path("results/local/epochs.csv").read_bytes()
    file.write_text("damaged")
    again = robench("run", "-m", "natural", *QUICK)
    assert not trained(again)
    assert f"{name} is missing or damaged; moved to" in " ".join(again.err.split())
    assert file.read_bytes() == before
    assert (file.parent / "damaged" / name).read_text() == "damaged"
    assert Path("results/local/epochs.csv").read_bytes() == epochs
    assert len(table()) == 6


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_a_damaged_evaluation_is_reported_and_redone(
    kind: str, once: Robench, robench: Robench
) -> None:
    once("run", "-m", "natural", *QUICK)
    for path in Path("results/local/cells").glob(f"*/eval/best-*.{kind}"):
        path.write_bytes(path.read_bytes()[:100])
    assert f".{kind}" in robench("report").err
    again = robench("run", "-m", "natural", *QUICK)
    assert again.code == 0
    assert "redone" in again.err
    assert not trained(again)
    assert len(table()) == 6
