"""Text by somebody else, made harmless: no character of it moves a cursor or turns a line round."""

import unicodedata
from dataclasses import fields, replace
from typing import Any, TypeVar

T = TypeVar("T")

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls, formats (directions), halves of characters, separators of lines: Unicode's names."""


def printable(text: str, keep: str = "") -> str:
    """The same text, with characters that a terminal would obey written as Python writes them."""
    if text.isprintable():
        return text
    return "".join(
        c
        if c in keep or unicodedata.category(c) not in _HIDDEN
        else c.encode("unicode_escape").decode()
        for c in text
    )


def printable_fields(said: T) -> T:
    """A dataclass whose texts are; they may have several lines."""
    values: dict[str, Any] = {f.name: getattr(said, f.name) for f in fields(said)}  # type: ignore[arg-type]
    texts = {n: printable(v, "\n\t") for n, v in values.items() if isinstance(v, str)}
    return replace(said, **texts)  # type: ignore[type-var]
