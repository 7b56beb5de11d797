"""What a page says of ranks over data sets: what is put together, and what it cannot show."""

from robench.reporting import markdown
from robench.reporting.friedman import table, tidy
from tests.analysis.test_friedman import FOUR, frame_of, only


def test_the_page_says_what_is_put_together_and_what_is_not() -> None:
    page = markdown.written(table(only(frame_of(FOUR | {"e": [99, None, 99, 99]}))))
    assert "### Ranks over 4 tables: trained in Linf, attacked in Linf by quick" in page
    assert "digits, cnn at 3/16; mnist, cnn at 3/16; svhn, cnn at 3/16" in page
    assert "| a | 1.12 |" in page
    assert "a and d (p = " in page
    assert "So few tables" not in page
    assert "- left out: e: not in mnist, cnn at 3/16" in page


def test_too_few_tables_are_said_to_show_nothing() -> None:
    page = markdown.written(table(only(frame_of({"a": [90, 91], "b": [50, 51], "c": [10, 11]}))))
    assert "So few tables show nothing: one order in all would be p = 0.14." in page
    assert "Nemenyi's test tells no two methods apart, which takes average ranks more than" in page


def test_the_csv_has_a_row_a_pair() -> None:
    found = only(frame_of(FOUR))
    frame = tidy([found])
    assert len(frame) == 6
    assert (frame["rank_first"] <= frame["rank_second"]).all()
    assert dict(zip(zip(frame["first"], frame["second"], strict=True), frame["nemenyi"],
                    strict=True)) == found.pairs  # fmt: skip
    assert tidy([]).empty
