"""Methods over data sets: as scipy and scikit-posthocs have it, and only what belongs together."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from robench.analysis.friedman import Friedman, critical, friedman, nemenyi, omnibus
from robench.analysis.summary import summaries
from tests.analysis.test_summary import evaluation, table

PLACES = ("digits", "mnist", "cifar10", "svhn")


def frame_of(stands: dict[str, list[int | None]], **columns: Any) -> pd.DataFrame:
    """Images of a hundred that stand, by method and data set; none: not there."""
    return table(
        *(
            evaluation(100, count, count, method=name, dataset=place, data=place,
                       recipe_key=place, cell=f"{name}-{place}", **columns)
            for name, counts in stands.items()
            for place, count in zip(PLACES, counts, strict=False)
            if count is not None
        )
    )  # fmt: skip


def only(frame: pd.DataFrame) -> Friedman:
    (found,) = friedman(summaries(frame), frame)
    return found


FOUR: dict[str, list[int | None]] = {
    "a": [80, 81, 82, 83], "b": [70, 71, 82, 60], "c": [60, 50, 40, 61], "d": [1, 2, 3, 4],
}  # fmt: skip


def test_ranks_have_ties_and_the_best_first() -> None:
    found = only(frame_of(FOUR))
    assert list(found.ranks.items()) == [("a", 1.125), ("b", 2.125), ("c", 2.75), ("d", 4.0)]
    assert len(found.places) == 4
    assert found.left_out == ()
    theirs = friedmanchisquare(*([*counts] for counts in FOUR.values()))
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_nemenyi_is_that_of_scikit_posthocs() -> None:
    import scikit_posthocs as posthocs  # a second: it draws, too

    found, counts = only(frame_of(FOUR)), np.array([*FOUR.values()], dtype=float)
    theirs = posthocs.posthoc_nemenyi_friedman(counts.T).to_numpy()
    names = list(FOUR)
    for (first, second), p in found.pairs.items():
        assert p == pytest.approx(theirs[names.index(first), names.index(second)], abs=1e-9)


@pytest.mark.parametrize(("methods", "places"), [(3, 2), (4, 5), (10, 10)])
def test_the_critical_difference_is_where_p_is_the_level(methods: int, places: int) -> None:
    apart = critical(methods, places)
    assert nemenyi(np.array(apart), methods, places) == pytest.approx(0.05, abs=1e-6)
    assert nemenyi(np.array(0.0), methods, places) == pytest.approx(1)


def test_the_critical_difference_is_that_of_the_table() -> None:
    """Demšar 2006, Table 5: q of 0.05 for two to ten classifiers, 2.343 for three."""
    assert critical(3, 6) == pytest.approx(2.343 * (3 * 4 / (6 * 6)) ** 0.5, abs=1e-3)
    assert critical(10, 1) == pytest.approx(3.164 * (10 * 11 / 6) ** 0.5, abs=5e-3)


def test_one_order_everywhere_is_the_smallest_p() -> None:
    found = only(frame_of({"a": [90, 91], "b": [50, 51], "c": [10, 11]}))
    assert found.p == pytest.approx(found.smallest)
    assert found.smallest > 0.05


def test_equal_methods_are_no_difference() -> None:
    found = only(frame_of({name: [50, 60, 70] for name in "abc"}))
    assert (found.statistic, found.p, set(found.ranks.values())) == (0, 1, {2.0})
    assert list(found.pairs.values()) == pytest.approx([1, 1, 1])
    assert omnibus(np.full((2, 3), 0.5)) == (0, 1)


def test_a_method_that_a_table_lacks_is_left_out_and_said() -> None:
    found = only(frame_of(FOUR | {"e": [99, None, 99, 99]}))
    assert list(found.ranks) == list(only(frame_of(FOUR)).ranks)
    assert found.left_out == ("e: not in mnist, cnn at 3/16",)


def test_two_versions_of_a_plugin_are_not_one_method() -> None:
    frame = frame_of(FOUR | {"e": [99, 99, 99, 99]})
    frame.loc[frame["cell"] == "e-mnist", "plugin"] = "other"
    found = only(frame)
    assert "e" not in found.ranks
    assert found.left_out == ("e: its plugin is not the same in all tables",)


@pytest.mark.parametrize(
    ("methods", "places"), [(2, 3), (3, 1)], ids=["two methods", "one data set"]
)
def test_too_little_is_no_test(methods: int, places: int) -> None:
    counts: list[int | None] = [50, 60, 70]
    frame = frame_of(dict.fromkeys("abc"[:methods], counts[:places]))
    assert friedman(summaries(frame), frame) == []


@pytest.mark.parametrize(
    "columns",
    [{"suite": "other"}, {"suite_key": "x"}, {"norm": "L2"}, {"train_norm": "L2"},
     {"verdict": "full"}, {"test_limit": 100}, {"train_limit": 9}, {"packages": "lib 2"},
     {"checkpoint": "last"}],
)  # fmt: skip
def test_unlike_tables_are_not_put_together(columns: dict[str, Any]) -> None:
    """Three methods in two tables make a test, unless the tables differ in what matters."""
    one = frame_of({name: [50] for name in "abc"})
    other = frame_of({name: [None, 50] for name in "abc"}, **columns)
    plain = pd.concat([one, frame_of({name: [None, 50] for name in "abc"})], ignore_index=True)
    frame = pd.concat([one, other], ignore_index=True)
    assert len(friedman(summaries(plain), plain)) == 1
    assert friedman(summaries(frame), frame) == []


def test_radius_recipe_and_images_may_differ() -> None:
    one = frame_of({name: [50] for name in "abc"})
    own = {"eps": "0.3", "train_eps": "0.3", "eps_value": 0.3, "sweep": "0.3", "recipe": "epochs=3"}
    other = frame_of({name: [None, 50] for name in "abc"}, **own)
    frame = pd.concat([one, other], ignore_index=True)
    assert only(frame).places == ("digits, cnn at 3/16", "mnist, cnn, recipe epochs=3 at 0.3")


def test_a_place_with_several_tables_counts_for_none() -> None:
    stands: dict[str, list[int | None]] = {name: [50, 60, 70] for name in "abc"}
    again = frame_of({name: [40] for name in "abc"}, train_eps="1/16").assign(
        cell=lambda rows: rows["cell"] + "-again"
    )
    frame = pd.concat([frame_of(stands), again], ignore_index=True)
    found = only(frame)
    assert found.places == ("cifar10, cnn at 3/16", "mnist, cnn at 3/16")
    assert found.left_out == ("digits, cnn: several tables of it",)
