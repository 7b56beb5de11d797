"""transfer.csv: numbers of a pair, means over seeds, signs of masking, and what is not believed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from robench.analysis.transfer import COLUMNS, FILE, OTHERS, Outcome, matrices, read, row
from robench.errors import StoreError
from robench.intervals import wilson

N = 50
PLACE = {"dataset": "digits", "model": "cnn", "norm": "Linf", "eps": "3/16", "checkpoint": "best",
         "attack": "mi-fgsm"}  # fmt: skip


def first(count: int) -> Outcome:
    """Of fifty images the first few."""
    return np.arange(N) < count


def frame(stands: Mapping[tuple[str, str], int], seed: int = 0) -> pd.DataFrame:
    """How many of 45 images that are right stand, by source and target."""
    rows = []
    for (source, target), count in stands.items():
        own = None if source == target else first(stands[target, target])
        said = {"source_deviates": "lr=1" if source == "b" else "", "target_deviates": ""}
        pair = {"source": source, "target": target, "seed": seed, "cell": f"{target}-{seed}"}
        rows.append(PLACE | said | pair | row(first(45), first(count), own))
    return pd.DataFrame(rows, columns=list(COLUMNS))


HONEST = {("a", "a"): 5, ("a", "b"): 30, ("b", "a"): 15, ("b", "b"): 20, (OTHERS, "a"): 14}


@given(*[st.lists(st.booleans(), min_size=8, max_size=8).map(np.array)] * 3)
@hypothesis_settings(max_examples=30)
def test_numbers_of_a_pair(right: Outcome, source: Outcome, own: Outcome) -> None:
    stands, alone = right & source, right & own
    said = row(right, stands, alone)
    only = [sum(a and not b for a, b in zip(*two, strict=True))
            for two in ((alone, stands), (stands, alone))]  # fmt: skip
    assert [said["n_only_source"], said["n_only_own"]] == only
    assert (said["n"], said["n_right"], said["n_stands"]) == (8, right.sum(), stands.sum())
    assert said["robust_accuracy"] == stands.mean()
    assert (said["ci_low"], said["ci_high"]) == wilson(int(stands.sum()), 8)


def test_means_over_seeds_in_order_of_robustness(tmp_path: Path) -> None:
    both = pd.concat([frame(HONEST), frame({key: n + 2 for key, n in HONEST.items()}, seed=1)])
    both.to_csv(tmp_path / FILE, index=False)
    (found,) = matrices(read(tmp_path))
    assert found.targets == ["a", "b"]
    assert list(found.robust.index) == ["a", "b", OTHERS]
    for (source, target), count in HONEST.items():
        assert found.robust.at[source, target] == pytest.approx((count + 1) / N)
    assert np.isnan(found.robust.to_numpy()[2, 1])
    assert list(found.natural) == [0.9, 0.9]
    assert found.seeds == {"a": 2, "b": 2}
    assert found.deviates == {"b": "lr=1"}
    assert found.signs == ()
    assert found.shared == PLACE | {"n": N}


def test_what_differs_is_not_put_together() -> None:
    other = frame(HONEST).assign(attack="pgd")
    assert len(matrices(pd.concat([frame(HONEST), other]))) == 2
    assert matrices(frame({})) == []


@pytest.mark.parametrize(("own", "by_source", "up"), [(40, 10, True), (40, 36, False)])
def test_a_source_that_breaks_more_than_the_own_gradients_is_a_sign(
    own: int, by_source: int, up: bool
) -> None:
    stands = {("a", "a"): own, ("b", "a"): by_source, ("b", "b"): 5, ("a", "b"): 6}
    (found,) = matrices(frame(stands))
    said = [(sign.target, sign.source, sign.only_source, sign.only_own) for sign in found.signs]
    assert said == ([("a", "b", own - by_source, 0)] if up else [])


@given(st.integers(0, 10**6))
@hypothesis_settings(max_examples=2)
def test_chance_alone_is_seldom_a_sign(seed: int) -> None:
    rng, up = np.random.default_rng(seed), 0
    for _ in range(20):
        rows = [row(first(N), rng.random(N) < 0.5, own)
                for own in (None, *[rng.random(N) < 0.5] * 4)]  # fmt: skip
        names = ("a", *"bcde")
        table = [PLACE | {"source": s, "target": "a", "seed": 0, "cell": "", "source_deviates": "",
                 "target_deviates": ""} | r for s, r in zip(names, rows, strict=True)]  # fmt: skip
        (found,) = matrices(pd.DataFrame(table, columns=list(COLUMNS)))
        up += bool(found.signs)
    assert up <= 3  # of twenty, each with a chance of one in a hundred at most


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.drop(columns="n_stands"),
        lambda t: t.assign(n_stands=46),
        lambda t: t.assign(n_right=-1),
        lambda t: t.assign(n=None),
        lambda t: t.assign(seed="x"),
        lambda t: t.assign(n_only_own=1.5),
        lambda t: t.assign(n_only_own=-1),
        lambda t: pd.concat([t, t]),
    ],
)
def test_a_table_that_cannot_be_is_refused(change: object, tmp_path: Path) -> None:
    assert callable(change)
    change(frame(HONEST)).to_csv(tmp_path / FILE, index=False)
    with pytest.raises(StoreError, match=r"transfer\.csv"):
        read(tmp_path)


def test_other_files_are_refused_and_none_is_none(tmp_path: Path) -> None:
    assert read(tmp_path).empty
    for content in (b"", b"\xff\xfe\x00", b'a,"b\n1'):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(StoreError, match=r"transfer\.csv"):
            read(tmp_path)


def test_names_from_elsewhere_cannot_drive_a_terminal(tmp_path: Path) -> None:
    frame(HONEST).replace({"source": {"b": "b\x1b[2J"}}).to_csv(tmp_path / FILE, index=False)
    (found,) = matrices(read(tmp_path))
    assert "\x1b" not in "".join(map(str, found.robust.index))
