"""Files that were cut, changed or lost are named, not used, and redone."""

import json
from pathlib import Path

import pytest

from tests.cli.grids import QUICK, Robench, table, trained


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "protocol"])
def test_a_damaged_record_is_reported_and_redone(damage: str, robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
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


@pytest.mark.parametrize("damage", ["bit", "gone"])
def test_damaged_weights_are_reported_and_never_attacked(damage: str, robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    (weights,) = Path("results/local/cells").glob("*/best.safetensors")
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1  # one bit: the file still loads
    if damage == "bit":
        weights.write_bytes(content)
    else:
        weights.unlink()
    assert robench("run", "-m", "natural", *QUICK).err.count("trained again") == 0  # not needed
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16", "--checkpoints", "best")
    assert more.code == 0
    assert f"weights in {weights.parent} are missing or damaged; trained again" in more.err
    assert len(trained(more)) == 1
    assert (table()["status"] == "ok").all()
    assert len(table()) == 6 + 3  # one seed, the same weights: what was attacked before holds


def test_outcomes_of_weights_that_are_gone_are_redone_and_said(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    for weights in Path("results/local/cells").glob("*/*.safetensors"):
        weights.unlink()
    # Weights of another machine differ in their last bits: other outcomes' weights, to all effect.
    for path in Path("results/local/cells").glob("*/eval/*.json"):
        path.write_text(path.read_text().replace('"weights": "', '"weights": "0'))
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16", "--checkpoints", "best")
    assert more.code == 0
    assert set(table()["eps"]) == {"1/16", "3/16"}
    assert "is of weights that the cell no longer has; not used" in more.err  # of last


def test_counts_that_are_not_those_of_the_outcomes_are_redone(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK, "--checkpoints", "best")
    before = table()
    (path,) = Path("results/local/cells").glob("*/eval/*.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"stands": dict.fromkeys(record["stands"], 40)}))
    again = robench("run", "-m", "natural", *QUICK, "--checkpoints", "best")
    assert "says other than the outcomes beside it" in again.err
    assert (table()["n_stands"] == before["n_stands"]).all()


def test_a_damaged_curve_costs_no_number(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    (curve,) = Path("results/local/cells").glob("*/train.csv")
    curve.write_text("")
    again = robench("run", "-m", "natural", *QUICK)
    assert "train.csv cannot be read" in again.err
    assert len(table()) == 6


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_a_damaged_evaluation_is_reported_and_redone(kind: str, robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    for path in Path("results/local/cells").glob(f"*/eval/best-*.{kind}"):
        path.write_bytes(path.read_bytes()[:100])
    assert f".{kind}" in robench("report").err
    again = robench("run", "-m", "natural", *QUICK)
    assert again.code == 0
    assert "redone" in again.err
    assert not trained(again)
    assert len(table()) == 6
