"""Accuracy by class: of the table's checkpoint and radius, seeds averaged, and the weakest one."""

from typing import Any

import pandas as pd
import pytest

from robench.analysis.classes import OfClass, classes
from robench.analysis.summary import summaries
from robench.errors import StoreError
from tests.analysis.test_summary import evaluation, table

ROW = {"n": 50, "n_right": 40}


def of_key(key: str, *stands: int, **columns: Any) -> list[dict[str, Any]]:
    """A row for each class with so many that stand."""
    return [
        {**ROW, "key": key, "class": number, "n_stands": count, **columns}
        for number, count in enumerate(stands)
    ]


def results(**keys: dict[str, Any]) -> pd.DataFrame:
    return table(*(evaluation(80, 50, 40, key=key, **own) for key, own in keys.items()))


def test_seeds_are_averaged_and_the_weakest_is_named() -> None:
    frame = results(k0={"seed": 0, "cell": "a0"}, k1={"seed": 1, "cell": "a1"})
    rows = pd.DataFrame([*of_key("k0", 30, 10), *of_key("k1", 20, 20)])
    (line,) = classes(summaries(frame)[0], frame, rows)
    assert line.classes == (OfClass(0, 0.8, 0.5, 50), OfClass(1, 0.8, 0.3, 50))
    assert (line.label, line.seeds, line.weakest.number) == ("madry", 2, 1)


def test_of_classes_as_weak_the_first_is_named() -> None:
    frame = results(k={})
    (line,) = classes(summaries(frame)[0], frame, pd.DataFrame(of_key("k", 9, 5, 5)))
    assert line.weakest == OfClass(1, 0.8, 0.1, 50)


def test_other_radii_checkpoints_and_cells_are_not_in_it() -> None:
    frame = results(
        here={}, radius={"eps": "1/16", "eps_value": 1 / 16}, last={"checkpoint": "last"},
        suite={"suite": "other", "suite_key": "x"},
    )  # fmt: skip
    every = [r for key in ("radius", "last", "suite", "gone") for r in of_key(key, 1, 1)]
    rows = pd.DataFrame([*of_key("here", 30, 20), *every])
    found = [s for s in summaries(frame) if s.shared["suite"] == "quick"]
    (line,) = classes(found[0], frame, rows)
    assert [one.worst for one in line.classes] == [0.6, 0.4]


def test_lines_are_in_the_order_of_the_table() -> None:
    frame = pd.concat(
        [results(k=own) for own in ({"method": "b", "cell": "b"}, {"method": "a", "cell": "a"})],
        ignore_index=True,
    )
    frame["key"] = frame["method"]
    frame.loc[frame["method"] == "b", "robust_accuracy"] = 0.9
    rows = pd.DataFrame([*of_key("a", 1, 2), *of_key("b", 3, 4)])
    assert [line.label for line in classes(summaries(frame)[0], frame, rows)] == ["b", "a"]


@pytest.mark.parametrize("other", [of_key("k1", 5, 5, n=40), of_key("k1", 5)])
def test_seeds_on_different_images_are_refused(other: list[dict[str, Any]]) -> None:
    frame = results(k0={"seed": 0, "cell": "a0"}, k1={"seed": 1, "cell": "a1"})
    rows = pd.DataFrame([*of_key("k0", 5, 5), *other])
    with pytest.raises(StoreError, match="madry: its seeds have different test images of class"):
        classes(summaries(frame)[0], frame, rows)
