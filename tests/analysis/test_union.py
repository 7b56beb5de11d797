"""The union over threat models, from outcomes made by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from robench.analysis import union
from robench.analysis.rows import TrainedCell
from robench.analysis.table import COUNTS
from robench.analysis.union import COLUMNS, rows, unions
from robench.evaluation.outcomes import Outcomes
from robench.intervals import wilson
from robench.settings import Plain
from robench.store.records import CellFolder

USUAL = {"Linf": "3/16", "L2": "3/4", "L1": "3"}
"""Radii of digits."""

CELL: dict[str, Any] = {
    "method": "madry", "settings": "", "deviates": "", "plugin": "aaaa", "settings_key": "ffff",
    "recipe": "", "recipe_key": "bbbb", "dataset": "digits", "data": "cccc", "model": "cnn",
    "seed": 0, "train_norm": "Linf", "train_eps": "3/16", "train_limit": None, "cell": "a",
}  # fmt: skip

Made = union.Attacked


def cell(**columns: object) -> TrainedCell:
    return TrainedCell(CellFolder(Path()), {}, CELL | columns)


def attacked(
    norm: str, stands: Sequence[int], right: Sequence[int] | None = None,
    origin: Sequence[int] | None = None, **changes: Any,
) -> Made:  # fmt: skip
    """An evaluation with a bit an image."""
    identity: Plain = {
        "checkpoint": "best", "test_limit": None, "norm": norm, "eps": USUAL.get(norm, "1/20"),
        "suite": "quick", "plugin": "p", "attacks": [], "rules": {}, "packages": "",
        "when_random": None,
    }  # fmt: skip
    identity |= {name: value for name, value in changes.items() if name in identity}
    natural = np.array(right if right is not None else [1] * len(stands), dtype=bool)
    masks = {"natural": natural, "pgd": np.array(stands, dtype=bool) & natural}
    n = len(natural)
    images = np.array(origin if origin is not None else range(n))
    outcomes = Outcomes(masks, np.zeros(n, dtype=np.int64), images, np.zeros(n, dtype=bool))
    record: Plain = {"status": "ok", "verdict": "upper-bound", "audit": None, "epoch": 9, "n": n}
    record |= {"identity": identity}
    record |= {name: value for name, value in changes.items() if name in record}
    return record, outcomes


def only(evaluations: Sequence[Made], **columns: object) -> dict[str, Any]:
    (row,) = rows(cell(**columns), evaluations)
    return row


def test_an_image_has_to_stand_in_every_norm() -> None:
    row = only(
        [
            attacked("Linf", [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]),
            attacked("L2", [1, 1, 0, 1, 0], [1, 1, 1, 1, 0]),
            attacked("L1", [1, 0, 1, 1, 0], [1, 1, 1, 1, 0]),
        ]
    )
    shares = [row[f"accuracy_{norm}"] for norm in USUAL]
    assert shares == [0.6, 0.6, 0.6]
    assert (row["natural_accuracy"], row["union_accuracy"], row["n"]) == (0.8, 0.2, 5)
    assert row["radii"] == "Linf 3/16, L2 3/4, L1 3"
    assert row["suite"] == "Linf by quick, L2 by quick, L1 by quick"
    assert row["verdict"] == "upper-bound"
    assert set(row) <= set(COLUMNS)


def test_several_suites_of_a_norm_are_their_worst_image_by_image() -> None:
    row = only(
        [
            attacked("Linf", [1, 1, 0, 1]),
            attacked("Linf", [0, 1, 1, 1], suite="standard", verdict="full"),
            attacked("L2", [1, 1, 1, 0], suite="standard", verdict="full"),
        ]
    )
    assert (row["accuracy_Linf"], row["accuracy_L2"], row["union_accuracy"]) == (0.5, 0.75, 0.25)
    assert row["suite"] == "Linf by quick and standard, L2 by standard"
    assert row["verdict"] == "full"  # with one suite that gives it in each norm


@given(st.lists(st.tuples(*[st.booleans()] * 5), min_size=1, max_size=20))
@hypothesis_settings(max_examples=30)
def test_against_a_loop(images: list[Any]) -> None:
    """Natural, Linf by two suites, L2, L1."""
    right, a, b, c, d = (list(column) for column in zip(*images, strict=True))
    found = [("Linf", a), ("Linf", b), ("L2", c), ("L1", d)]
    row = only([attacked(norm, stands, right) for norm, stands in found])
    counts = dict.fromkeys(("natural", "Linf", "L2", "L1", "union"), 0)
    for one in images:
        natural, linf, l2, l1 = one[0], one[1] and one[2], one[3], one[4]
        counts["natural"] += natural
        counts["Linf"] += natural and linf
        counts["L2"] += natural and l2
        counts["L1"] += natural and l1
        counts["union"] += natural and linf and l2 and l1
    n = len(images)
    assert row["natural_accuracy"] == pytest.approx(counts["natural"] / n)
    for norm in USUAL:
        assert row[f"accuracy_{norm}"] == pytest.approx(counts[norm] / n)
        assert row["union_accuracy"] <= row[f"accuracy_{norm}"]
    assert row["union_accuracy"] == pytest.approx(counts["union"] / n)


@pytest.mark.parametrize(
    "other",
    [
        {"norm": "Linf"},  # the same norm twice
        {"eps": "1/4"},  # another radius than the data set's
        {"verdict": "none"},  # no robust accuracy
        {"status": "failed"},
        {"norm": "flow"},  # no ball
        {"checkpoint": "last"},
        {"test_limit": 3},
    ],
)
def test_what_makes_no_union(other: dict[str, Any]) -> None:
    changes = {"norm": "L2"} | other
    evaluations = [
        attacked("Linf", [1, 1, 0]), attacked(stands=[1, 0, 0], **changes)
    ]  # fmt: skip
    assert list(rows(cell(), evaluations)) == []
    evaluations[1] = attacked("L2", [1, 0, 0])
    assert len(list(rows(cell(), evaluations))) == 1
    assert list(rows(cell(dataset="unheard-of"), evaluations)) == []


def test_other_test_images_are_never_put_together() -> None:
    here = attacked("Linf", [1, 1, 1], origin=[4, 5, 6])
    there = attacked("L2", [0, 0, 0], origin=[4, 5, 7])
    assert list(rows(cell(), [here, there])) == []
    fewer = attacked("L2", [0, 0], origin=[4, 5])
    assert list(rows(cell(), [here, fewer])) == []
    also = [attacked("L1", [1, 0, 1], origin=[4, 5, n]) for n in (6, 7)]
    found = list(rows(cell(), [here, there, *also]))
    assert [row["union_accuracy"] for row in found] == [pytest.approx(2 / 3), 0]
    assert found[0]["images"] != found[1]["images"]
    assert len(unions(frame(found))) == 2


def frame(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=[*COLUMNS])
    return table.astype({name: "Int64" for name in COUNTS if name in table})


def made(masks: dict[str, list[int]], **columns: object) -> dict[str, Any]:
    return only([attacked(norm, stands) for norm, stands in masks.items()], **columns)


def test_seeds_are_averaged_and_training_balls_are_lines() -> None:
    masks = [{"Linf": [1, 1, 1, 1], "L2": [1] * k + [0] * (4 - k)} for k in (1, 2, 3)]
    found = [made(mask, seed=seed) for seed, mask in enumerate(masks)]
    found.append(made(masks[2], train_norm="L2", train_eps="3/4"))
    (table,) = unions(frame(found))
    l2, linf = table.lines  # the larger union first
    assert (l2.label, l2.trained, l2.seeds) == ("madry", "L2 3/4", (0,))
    assert (linf.label, linf.trained, linf.seeds) == ("madry", "Linf 3/16", (0, 1, 2))
    assert linf.union.mean == pytest.approx(0.5)
    assert linf.union.spread == pytest.approx(0.25)
    assert [e.mean for e in linf.norms] == pytest.approx([1.0, 0.5])
    assert linf.natural.mean == 1
    assert (l2.union.spread, (l2.union.low, l2.union.high)) == (None, wilson(3, 4))
    assert table.seeds == 3
    assert table.radii == ["Linf 3/16", "L2 3/4"]


def test_unlike_things_are_in_tables_of_their_own() -> None:
    two = {"Linf": [1, 0], "L2": [1, 1]}
    first = made(two)
    for changes in ({"dataset": "mnist"}, {"model": "other"}, {"recipe_key": "x"}, {"data": "x"}):
        assert len(unions(frame([first, {**first, **changes, "method": "other"}]))) == 2
    assert len(unions(frame([first, made(two | {"L1": [1, 1]}, method="other")]))) == 2
    stronger = [attacked(n, s, suite="standard") for n, s in two.items()]
    assert len(unions(frame([first, only(stronger, method="other")]))) == 2
    assert len(unions(frame([first, {**first, "method": "other"}]))) == 1


def test_the_best_checkpoint_stands_for_the_last() -> None:
    both = [
        only([attacked(n, s, checkpoint=name) for n in ("Linf", "L1")])
        for name, s in (("last", [0, 0]), ("best", [1, 0]))
    ]
    (table,) = unions(frame(both))
    assert (table.checkpoint, table.lines[0].union.mean) == ("best", 0.5)
    (table,) = unions(frame(both[:1]))
    assert (table.checkpoint, table.lines[0].union.mean) == ("last", 0)


def test_an_audit_that_grew_is_shown_with_those_that_did_not() -> None:
    found = [
        only(
            [
                attacked("Linf", [1, 0], verdict=verdict, audit={"looked": 2, "bound": 0}),
                attacked("L2", [1, 0], verdict="full"),
            ],
            method=method,
        )
        for method, verdict in (("madry", "full"), ("natural", "audited"))
    ]
    (table,) = unions(frame(found))
    assert table.shared["verdict"] == "audited"
    assert len(table.lines) == 2


def test_no_rows_no_tables() -> None:
    assert unions(frame([])) == []
