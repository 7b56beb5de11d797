"""All pairs of a table: what they come to, Holm's correction, and never different images."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from robench.analysis import worst as module
from robench.analysis.bootstrap import bootstrapped
from robench.analysis.comparisons import Comparison, comparisons, holm
from robench.analysis.differences import Outcome, paired
from robench.analysis.summary import Summary, summaries
from robench.analysis.worst import of_table
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes
from tests.analysis.test_summary import evaluation, table

NOWHERE = Path("nowhere")

Stands = dict[str, list[Outcome]]


def outcomes(stands: Outcome, first: int = 0) -> Outcomes:
    """Of the test images from a position on."""
    n = len(stands)
    masks = {"natural": np.ones(n, bool), "pgd": stands}
    return Outcomes(masks, np.zeros(n, np.int64), np.arange(first, first + n), np.zeros(n, bool))


def kept(
    monkeypatch: pytest.MonkeyPatch, stands: Stands, first: Mapping[str, int] | None = None,
    **columns: Any,
) -> tuple[Summary, pd.DataFrame]:  # fmt: skip
    """A table of methods with these outcomes by seed; ``first``: of a cell's images, if not 0."""
    files, groups = dict[str, Outcomes](), []
    for name, of_seeds in stands.items():
        for seed, mask in enumerate(of_seeds):
            cell, n, count = f"{name}{seed}", len(mask), int(mask.sum())
            files[cell] = outcomes(mask, (first or {}).get(cell, 0))
            groups.append(
                evaluation(n, count, count, method=name, seed=seed, cell=cell, n=n, **columns)
            )
    monkeypatch.setattr(module, "outcomes", lambda row, results: files[row["cell"]])
    frame = table(*groups)
    (found,) = summaries(frame)
    return found, frame


def drawn(**shares: list[float]) -> Stands:
    """Outcomes by method and seed, of 300 images that are as hard for all, with own noise."""
    random = np.random.default_rng(0)
    hard = random.random(300)
    return {
        name: [hard + 0.1 * random.standard_normal(300) < share for share in of_seeds]
        for name, of_seeds in shares.items()
    }


def p_of(first: Outcome, second: Outcome) -> float:
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(b, b + c).pvalue) if b + c else 1.0


def test_every_pair_has_its_test_and_its_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(a=[0.8], b=[0.7], c=[0.69], d=[0.3])
    found = comparisons(of_table(*kept(monkeypatch, made), NOWHERE))
    assert len(found) == 6
    raw = [p_of(made[one.first][0], made[one.second][0]) for one in found]
    assert [one.p for one in found] == pytest.approx(raw, rel=1e-12)
    assert [one.by_seed for one in found] == [(one.p,) for one in found]
    assert [one.holm for one in found] == pytest.approx(multipletests(raw, method="holm")[1])
    assert [one.difference for one in found] == [
        paired(made[one.first], made[one.second]) for one in found
    ]
    assert all(one.difference.mean >= 0 for one in found)
    assert [one.noise for one in found] == [one.holm >= 0.05 for one in found]
    assert {one.noise for one in found} == {True, False}


def test_several_seeds_must_all_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(a=[0.8, 0.75, 0.8], b=[0.6, 0.65, 0.4], c=[0.2, 0.99, 0.2])
    found = {
        (one.first, one.second): one
        for one in comparisons(of_table(*kept(monkeypatch, made), NOWHERE))
    }
    one = found["a", "b"]
    assert one.p == max(one.by_seed) < 0.05
    assert len(one.by_seed) == 3
    turned = found["a", "c"]  # each seed is sure of it, but not of the same
    assert max(turned.by_seed) < 1e-6
    assert (turned.p, turned.holm, turned.noise) == (1, 1, True)


def test_equal_outcomes_are_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    same = drawn(a=[0.5, 0.6])["a"]
    (one,) = comparisons(of_table(*kept(monkeypatch, {"a": same, "b": same}), NOWHERE))
    assert (one.p, one.holm, one.by_seed, one.noise) == (1, 1, (1, 1), True)
    assert (one.difference.mean, one.difference.low, one.difference.high) == (0, 0, 0)


def test_one_image_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"a": [np.array([True])], "b": [np.array([False])]}
    (one,) = comparisons(of_table(*kept(monkeypatch, made), NOWHERE))
    assert (one.difference.mean, one.p, one.noise) == (1, 1, True)


def test_only_seeds_that_both_have_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(a=[0.8, 0.8], b=[0.5])
    (one,) = comparisons(of_table(*kept(monkeypatch, made), NOWHERE))
    assert list(one.by_seed) == pytest.approx([p_of(made["a"][0], made["b"][0])])
    assert one.difference == paired(made["a"][:1], made["b"])


def test_without_a_seed_in_common_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(a=[0.9], b=[0.5], c=[0.1])
    _, frame = kept(monkeypatch, made)
    frame = frame.assign(seed=frame["seed"] + (frame["method"] == "c"))
    found = comparisons(of_table(summaries(frame)[0], frame, NOWHERE))
    assert [math.isnan(one.holm) for one in found] == [False, True, True]
    assert [one.noise for one in found] == [False, True, True]
    assert found[0].holm == found[0].p  # no correction for what was not tested
    assert found[1].by_seed == ()
    assert math.isnan(found[1].difference.mean)


def test_different_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(a=[0.8], b=[0.5])
    with pytest.raises(StoreError, match="a0 and b0 were attacked on different test images"):
        comparisons(of_table(*kept(monkeypatch, made, {"b0": 1}), NOWHERE))


def test_a_file_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, frame = kept(monkeypatch, drawn(a=[0.8], b=[0.5]))
    monkeypatch.undo()
    frame = frame.assign(key="0" * 64)
    with pytest.raises(StoreError, match="cannot be read"):
        comparisons(of_table(found, frame, tmp_path))


def test_each_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, frame = kept(monkeypatch, drawn(a=[0.8, 0.7], b=[0.6, 0.5], c=[0.3, 0.2]))
    read, real = list[str](), module.outcomes  # type: ignore[attr-defined]

    def counted(row: Mapping[Any, Any], results: Path) -> Outcomes:
        read.append(row["cell"])
        return real(row, results)

    monkeypatch.setattr(module, "outcomes", counted)
    comparisons(of_table(found, frame, NOWHERE))
    assert sorted(read) == ["a0", "a1", "b0", "b1", "c0", "c1"]


@pytest.mark.parametrize("columns", [{"verdict": "stochastic"}, {"flag_random": "up"}])
def test_random_methods_have_the_bootstrap(
    monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any]
) -> None:
    made = drawn(a=[0.8, 0.7], b=[0.6, 0.5])
    (one,) = comparisons(of_table(*kept(monkeypatch, made, **columns), NOWHERE))
    assert one.difference == bootstrapped(made["a"], made["b"])


def test_one_line_has_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert comparisons(of_table(*kept(monkeypatch, drawn(a=[0.5])), NOWHERE)) == []


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels_and_no_smaller(raw: list[float]) -> None:
    found = holm(raw)
    known = [(p, q) for p, q in zip(raw, found, strict=True) if not math.isnan(p)]
    theirs = multipletests([p for p, _ in known], method="holm")[1] if known else []
    assert [q for _, q in known] == pytest.approx(list(theirs), rel=1e-12)
    assert all(math.isnan(q) for p, q in zip(raw, found, strict=True) if math.isnan(p))
    assert all(p <= q <= 1 for p, q in known)
    ordered = [q for _, q in sorted(known)]
    assert ordered == sorted(ordered)
    if known:
        smallest = min(p for p, _ in known)
        assert min(q for _, q in known) == pytest.approx(min(1, smallest * len(known)))


def test_noise_is_what_cannot_be_told_apart() -> None:
    apart = paired([np.array([True])], [np.array([False])])
    sure, unsure, unknown = (
        Comparison("a", "b", apart, (p,), p, p) for p in (0.049, 0.05, math.nan)
    )
    assert [one.noise for one in (sure, unsure, unknown)] == [False, True, True]
