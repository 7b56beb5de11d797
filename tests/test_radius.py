"""Radii are exact, print as people write them, and a wrong scale is refused."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import ConfigError
from robench.radius import parse_eps, parse_norm, show_eps

RADII = st.one_of(
    st.integers(0, 2550).map(lambda tenths: Fraction(tenths, 2550)),
    st.fractions(0, 1, max_denominator=10_000),
    st.integers(0, 1000).map(lambda mills: Fraction(mills, 1000)),
)


@given(RADII)
def test_what_is_printed_is_read_back(eps: Fraction) -> None:
    assert parse_eps(show_eps(eps), "Linf") == eps


@given(st.integers(0, 255))
def test_levels_of_255_keep_their_value(level: int) -> None:
    assert parse_eps(f"{level}/255", "Linf") == Fraction(level, 255)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("8/255", "8/255"), ("0", "0"), ("0.3", "0.3"), ("3/16", "3/16"), ("0.1875", "3/16"),
        ("0.25", "1/4"), ("0.125", "1/8"), ("0.75", "3/4"),
        ("0.031", "0.031"), ("1", "1"), (".5", "0.5"), ("1.5/255", "1/170"), ("16/510", "8/255"),
        ("1e-2", "0.01"), (" 2/255 ", "2/255"), ("0.0313", "313/10000"),
    ],
)  # fmt: skip
def test_canonical_spelling(text: str, shown: str) -> None:
    assert show_eps(parse_eps(text, "Linf")) == shown


def test_thirty_one_thousandths_is_not_eight_levels() -> None:
    assert parse_eps("0.031", "Linf") != parse_eps("8/255", "Linf")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8", "write 8/255"), ("-0.1", "negative"), ("8/0", "divides by zero"),
        ("x", "not a number"), ("", "not a number"), ("nan", "not a number"),
        ("inf", "not a number"), ("1/2/3", "not a number"), ("1.5", "over 1"),
        ("300/255", "over 1"), ("٣", "not a number"), ("1e400", "not a number"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_eps(text, "Linf")


@given(st.text(max_size=12))
def test_any_text_is_a_radius_or_a_clear_error(text: str) -> None:
    with suppress(ConfigError):
        assert parse_eps(text, "Linf") >= 0


def test_a_radius_over_one_is_fine_in_l2() -> None:
    assert parse_eps("2", "L2") == 2


@pytest.mark.parametrize("text", ["Linf", "linf", "LINF", " linf"])
def test_norms_in_any_case(text: str) -> None:
    assert parse_norm(text) == "Linf"


def test_unknown_norm() -> None:
    with pytest.raises(ConfigError, match="there are: Linf, L2"):
        parse_norm("hamming")
