"""What a record has to hold."""

from pathlib import Path
from typing import Any, get_args

import pytest

from robench.adversary import suite
from robench.errors import StoreError
from robench.store import shapes
from robench.store.records import read_record, write_record
from tests.cli.grids import QUICK, Robench, table

LOCAL = Path("results/local")


pytestmark = pytest.mark.usefixtures("soon_over")


@pytest.fixture
def evaluation(once: Robench) -> Path:
    """The record of an evaluation at 3/16."""
    once("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16", "--checkpoints", "best")
    (path,) = LOCAL.glob("cells/*/eval/best-quick-Linf-3_16-*.json")
    return path


def test_one_that_is_running_is_not_there_yet(evaluation: Path, robench: Robench) -> None:
    said = ("protocol", "key", "identity", "reason", "started", "environment", "cell", "weights",
            "epoch", "verdict")  # fmt: skip
    record = read_record(evaluation)
    write_record(evaluation, {name: record[name] for name in said} | {"status": "running"})
    shown = robench("report")
    assert shown.code == 0
    assert shown.err == ""
    assert set(table()["eps"]) == {"1/16"}
    assert "1 ok, 1 running" in robench("status").out


def test_more_than_is_known_today_is_allowed(evaluation: Path, robench: Robench) -> None:
    write_record(evaluation, read_record(evaluation) | {"later": {"a": [1, None]}, "jobs": 3})
    assert read_record(evaluation)["jobs"] == 3
    assert robench("report").err == ""


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"n": "40"}, "Expected `int`, got `str` - at `$.n`"),
    ({"n": 3}, "more images stand than there are"),
    ({"order": ["pgd-20", "natural"]}, "its attacks are not those of its order"),
    ({"verdict": "sure"}, "Invalid enum value 'sure' - at `$.verdict`"),
    ({"costs": {}}, "an attack without its costs"),
    ({"status": "begun"}, "Invalid enum value 'begun' - at `$.status`"),
    ({"findings": {"gap": 3}}, "Expected `object`, got `int` - at `$.findings[...]`"),
]


def test_one_with_something_strange_is_not_used(evaluation: Path) -> None:
    record = read_record(evaluation)
    for change, problem in CHANGES:
        write_record(evaluation, record | change)
        with pytest.raises(StoreError, match="is not as it should be: ") as error:
            read_record(evaluation)
        assert problem in str(error.value)
    other = evaluation.with_name(f"copy-{evaluation.name}")
    write_record(other, record)
    with pytest.raises(StoreError, match="belongs to another key"):
        read_record(other)
    write_record(evaluation, record | {"identity": record["identity"] | {"eps": "1/8"}})
    with pytest.raises(StoreError, match="belongs to another key"):
        read_record(evaluation)


def test_outcomes_come_to_the_counts_of_their_record(evaluation: Path, robench: Robench) -> None:
    record = read_record(evaluation)
    stands = record["stands"] | {"natural": record["stands"]["natural"] + 1}
    write_record(evaluation, record | {"stands": stands})
    assert f"does not hold what {evaluation.name} says; not used" in robench("report").err
    assert set(table()["eps"]) == {"1/16"}


def test_verdicts_are_those_of_suites() -> None:
    assert get_args(shapes.Verdict) == get_args(suite.Verdict)
