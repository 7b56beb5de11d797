"""Colours and markers of methods."""

from hypothesis import given
from hypothesis import strategies as st

from robench.reporting.charts.look import looks

LABELS = [f"method{i}" for i in range(20)]


@given(st.lists(st.sets(st.sampled_from(LABELS), min_size=1), max_size=5))
def test_no_two_labels_look_alike(tables: list[set[str]]) -> None:
    look = looks(tables)
    assert set(look) == set().union(*tables)
    assert len(set(look.values())) == len(look)


@given(st.sets(st.sampled_from(LABELS), min_size=1, max_size=8))
def test_a_table_of_eight_has_eight_colours(table: set[str]) -> None:
    assert len({colour for colour, _ in looks([table]).values()}) == len(table)


def test_a_small_table_beside_a_large_one_keeps_its_colours_apart() -> None:
    small = ["method1", "method11", "method12", "method19", "method8", "method9"]
    look = looks([LABELS, small])
    assert len({look[label][0] for label in small}) == len(small)
