"""The order of methods: groups begin where the first is surely better."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robench.analysis import worst as module
from robench.analysis.differences import Outcome
from robench.analysis.ranking import Rank, ranking
from robench.analysis.summary import Summary, summaries
from robench.analysis.worst import of_table
from robench.evaluation.outcomes import Outcomes
from tests.analysis.test_summary import evaluation, table

NOWHERE = Path("nowhere")
IMAGES = 400


def made(
    monkeypatch: pytest.MonkeyPatch, shares: dict[str, list[float]]
) -> tuple[Summary, pd.DataFrame]:
    """A table of methods whose seeds leave these shares of the images standing."""
    outcomes: dict[str, Outcome] = {}
    groups = []
    for name, of_seeds in shares.items():
        for seed, share in enumerate(of_seeds):
            order = np.random.RandomState(seed).permutation(IMAGES)  # alike in all methods
            outcomes[f"{name}{seed}"] = order < round(share * IMAGES)
            count = int(outcomes[f"{name}{seed}"].sum())
            spent = {"train_forwards": 10, "train_backwards": 5}
            own = {"method": name, "seed": seed, "cell": f"{name}{seed}", "n": IMAGES, **spent}
            groups.append(evaluation(IMAGES, count, count, **own))
    monkeypatch.setattr(module, "outcomes", lambda row, results: read(outcomes[row["cell"]]))
    frame = table(*groups)
    (found,) = summaries(frame)
    return found, frame


def read(stands: Outcome) -> Outcomes:
    at = np.arange(len(stands))
    return Outcomes({"natural": stands, "worst": stands}, at % 10, at, np.zeros_like(stands))


def groups_of(found: list[Rank]) -> list[tuple[str, int]]:
    return [(rank.label, rank.group) for rank in found]


def test_groups_are_told_apart_from_their_first(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {
        "a": [0.8, 0.81, 0.79],
        "b": [0.79, 0.80, 0.80],
        "c": [0.3, 0.31, 0.3],
        "d": [0.0] * 3,
    }
    found = ranking(of_table(*made(monkeypatch, shares), NOWHERE))
    assert groups_of(found) == [("a", 1), ("b", 1), ("c", 2), ("d", 3)]
    behind = found[1].behind
    assert behind is not None
    assert behind.low < 0 < behind.high
    assert behind.mean == pytest.approx(0.8 - (0.79 + 0.8 + 0.8) / 3)
    assert [rank.behind for rank in found if rank.label != "b"] == [None] * 3


def test_who_is_inside_the_noise_of_a_second_is_not_compared_with_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Near its neighbour, but surely worse than the first of the group: a group of its own."""
    steps = {name: [0.6 - 0.03 * i] for i, name in enumerate("abcde")}
    found = groups_of(ranking(of_table(*made(monkeypatch, steps), NOWHERE)))
    assert found[0] == ("a", 1)
    assert found[-1][1] > 1
    assert [group for _, group in found] == sorted(group for _, group in found)


def test_noisy_trainings_are_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"a": [0.9, 0.1, 0.8], "b": [0.2, 0.9, 0.5], "c": [0.4, 0.5, 0.3]}
    assert {g for _, g in groups_of(ranking(of_table(*made(monkeypatch, shares), NOWHERE)))} == {1}


def test_two_methods_are_no_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranking(of_table(*made(monkeypatch, {"a": [0.5], "b": [0.1]}), NOWHERE)) == []


def test_without_a_seed_in_common_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found, frame = made(monkeypatch, {"a": [0.9], "b": [0.5], "c": [0.1]})
    frame = frame.assign(seed=frame["seed"] + frame["method"].map({"a": 0, "b": 1, "c": 2}))
    ranks = ranking(of_table(summaries(frame)[0], frame, NOWHERE))
    assert groups_of(ranks) == [("a", 1), ("b", 1), ("c", 1)]
    behind = ranks[1].behind
    assert behind is not None
    assert math.isnan(behind.mean)
    assert found.lines[0].cost == 20  # ten forward, five backward
