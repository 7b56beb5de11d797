"""Which methods no other beats, and that their names can be read among many."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from robench.reporting.figures.tradeoff import CROWDED, LETTERS, chart, front
from tests.analysis.test_summary import evaluation, only, table

PAIRS = st.lists(
    st.tuples(st.integers(50, 100), st.integers(0, 50)), min_size=CROWDED + 1, max_size=20
)


@settings(max_examples=40)
@given(PAIRS)
def test_a_slow_search_finds_the_same_front(pairs: list[tuple[int, int]]) -> None:
    rows = [
        evaluation(right, worst, worst, method=f"m{at:02d}")
        for at, (right, worst) in enumerate(pairs)
    ]
    found = front(only(table(*rows)))
    beaten = [
        any(right >= r and worst >= w and (right, worst) != (r, w) for right, worst in pairs)
        for r, w in pairs
    ]
    assert sorted(found) == [f"m{at:02d}" for at, lost in enumerate(beaten) if not lost]


@settings(max_examples=40)
@given(PAIRS)
def test_names_of_the_front_stand_above_each_other(pairs: list[tuple[int, int]]) -> None:
    rows = [
        evaluation(right, worst, worst, method=f"m{at:02d}")
        for at, (right, worst) in enumerate(pairs)
    ]
    summary = only(table(*rows))
    series = chart(summary).series
    named = {one.said: one.y[0] + one.raised for one in series if one.said}
    assert [*named] == sorted(front(summary), key=[one.said for one in series].index)
    places = [named[label] for label in front(summary)]
    room = LETTERS * (max(w for _, w in pairs) - min(w for _, w in pairs))  # of 100 images
    assert all(above - below >= room - 1e-9 for below, above in pairwise(places))
    assert all(one.raised >= 0 for one in series)


def test_a_few_are_named_in_the_legend_alone() -> None:
    summary = only(table(*(evaluation(90, 50, 40 + at, method=f"m{at}") for at in range(CROWDED))))
    assert not any(one.said for one in chart(summary).series)
