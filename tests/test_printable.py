"""Text by somebody else."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.printable import printable, printable_fields


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("na\u00efve \u05d0\u05d1 \U0001f600 8/255", "na\u00efve \u05d0\u05d1 \U0001f600 8/255"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\x07\x9b", "a\\rb\\x07\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\ud800\udcff", "\\ud800\\udcff"),
        ("a\nb\u2028c", "a\\nb\\u2028c"),
    ],
)
def test_what_moves_a_cursor_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_is_one_line_that_can_be_written(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert printable(shown) == shown


def test_lines_are_kept_where_they_are_wanted() -> None:
    @dataclass(frozen=True)
    class Said:
        text: str
        number: int = 3

    assert printable_fields(Said("a\n\x1b")) == Said("a\n\\x1b")
