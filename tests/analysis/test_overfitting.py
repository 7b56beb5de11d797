"""Best against last: the same cells, attacks and images, or nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robench.analysis import worst as module
from robench.analysis.differences import Outcome, paired
from robench.analysis.overfitting import overfitting
from robench.analysis.summary import Summary, summaries
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes
from tests.analysis.test_comparisons import outcomes
from tests.analysis.test_summary import evaluation, table

NOWHERE = Path("nowhere")


def kept(
    monkeypatch: pytest.MonkeyPatch, stands: dict[tuple[str, int, str], Outcome], moved: int = 0
) -> tuple[Summary, pd.DataFrame]:
    """By method, seed and checkpoint; ``moved``: by how many positions the last one's images."""
    files, groups = dict[tuple[str, str], Outcomes](), []
    for (name, seed, which), mask in stands.items():
        cell, n, count = f"{name}{seed}", len(mask), int(mask.sum())
        files[cell, which] = outcomes(mask, moved * (which == "last"))
        own = {"method": name, "seed": seed, "cell": cell, "n": n, "checkpoint": which}
        groups.append(evaluation(n, count, count, **own))
    monkeypatch.setattr(
        module, "outcomes", lambda row, results: files[row["cell"], row["checkpoint"]]
    )
    frame = table(*groups)
    (found,) = summaries(frame)
    return found, frame


def masks(*shares: float) -> list[Outcome]:
    hard = np.random.default_rng(0).random(200)
    return [hard < share for share in shares]


def test_the_difference_is_paired_over_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three, four = masks(0.6, 0.5, 0.7, 0.55)
    made = {("a", 0, "best"): one, ("a", 0, "last"): two}
    made |= {("a", 1, "best"): three, ("a", 1, "last"): four}
    (found,) = overfitting(*kept(monkeypatch, made), NOWHERE)
    assert found.difference == paired([one, three], [two, four])
    assert found.best == pytest.approx((one.mean() + three.mean()) / 2)
    assert found.last == pytest.approx((two.mean() + four.mean()) / 2)
    assert found.difference.mean == pytest.approx(found.best - found.last)


def test_only_cells_with_both_count(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = masks(0.6, 0.5, 0.7)
    made = {("a", 0, "best"): one, ("a", 0, "last"): two, ("a", 1, "best"): three}
    found = overfitting(*kept(monkeypatch, made | {("b", 0, "best"): one}), NOWHERE)
    assert [(line.label, line.difference.seeds) for line in found] == [("a", 1)]
    assert found[0].best == one.mean()


def test_the_same_weights_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = masks(0.6)
    made = {("a", 0, "best"): one, ("a", 0, "last"): one}
    (found,) = overfitting(*kept(monkeypatch, made), NOWHERE)
    assert (found.difference.mean, found.difference.low, found.difference.high) == (0, 0, 0)


@pytest.mark.parametrize("which", ["best", "last"])
def test_one_checkpoint_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    (one,) = masks(0.6)
    assert overfitting(*kept(monkeypatch, {("a", 0, which): one}), NOWHERE) == []


def test_another_radius_or_suite_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = masks(0.6, 0.5)
    made = {("a", 0, "best"): one, ("a", 0, "last"): two}
    _, frame = kept(monkeypatch, made)
    for column, value in (("eps", "1/16"), ("suite", "other")):
        changed = frame.copy()
        changed.loc[changed["checkpoint"] == "last", column] = value
        assert all(not overfitting(s, changed, NOWHERE) for s in summaries(changed))


def test_different_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = masks(0.6, 0.5)
    made = {("a", 0, "best"): one, ("a", 0, "last"): two}
    with pytest.raises(StoreError, match="different test images"):
        overfitting(*kept(monkeypatch, made, moved=1), NOWHERE)
