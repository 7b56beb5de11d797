"""What goes wrong with input: odd pieces, and ways of putting them into something valid."""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Where = tuple[str | int, ...]
"""A place in nested lists and dictionaries."""

ODD_TEXTS = (
    "", " ", "\t", "\n", "\r", "\0", "\x07", "\x1b[31mred", "\x1b]0;title\x07", "\x85", "\x9b2J",
    "\u2028", "\u202e\u05d0\u05d1", "\ufeff", "e\u0301", "\u0663", "\u00b2", "\u00bd", "\U0001f600",
    "\U0001f469\u200d\U0001f4bb", "\ud800", "\udcff", "nan", "-inf", "1e999", "-1e999", "1e-999",
    "-0", "-0.0", "1/0", "0/1", "1/3", "8/255", "9" * 30, "9" * 400, "9" * 5000, "1/" + "9" * 400,
    "x" * 300, "x" * 5000, "0x10", "1_000", ".", "..", "../../x", "/", "a/b", "~", "%s%n", "{}",
    "{0}", "$x^$", "$\\frac$", "\\", "\\N", "'", '"', "|", "#", "-", "--", ",", "=", "[", "]",
    "[[", "(", "none", "true", "[bold]", "[/red]", "*", "**", "?", "[a-", "con", "status",
    "recipe.lr",
)  # fmt: skip
"""Text that is handled wrongly somewhere: escapes, surrogates, directions, numbers, markup."""

ODD_NUMBERS = (
    0, -1, 1, 2, 10, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0,
    1e-300, 1e300, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


def odd_texts() -> st.SearchStrategy[str]:
    """A piece that is known to be awkward, or any text; now and then a lone surrogate."""
    return (
        st.sampled_from(ODD_TEXTS) | st.text(max_size=8) | st.text("0123456789/.-e,[]=", max_size=8)
    )


def odd_numbers() -> st.SearchStrategy[float]:
    """Too large, too small, or none."""
    return st.sampled_from(ODD_NUMBERS)


def odd_values() -> st.SearchStrategy[Any]:
    """A value of any kind that JSON, and mostly TOML, can hold."""
    plain = st.none() | st.booleans() | odd_numbers() | odd_texts()
    nested = st.lists(plain, max_size=3) | st.dictionaries(odd_texts(), plain, max_size=3)
    return plain | nested | st.sampled_from([1, 20, 300, 3000]).map(deep)


@dataclass(frozen=True)
class Nested:
    """A list in a list, so many times: as an object, so that no example is printed so deep."""

    depth: int

    def value(self) -> Any:
        """The list itself."""
        inner: Any = 0
        for _ in range(self.depth):
            inner = [inner]
        return inner


def deep(depth: int) -> Nested:
    """Written out only when it is used."""
    return Nested(depth)


def plain(value: Any) -> Any:
    """The same with what stands for nested lists written out."""
    if isinstance(value, Nested):
        return value.value()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Cut:
    """Text with a part of it replaced; places are shares of its length, in thousandths."""

    at: int
    length: int
    by: str

    def of(self, text: str) -> str:
        """The changed text."""
        start = len(text) * self.at // 1000
        return text[:start] + self.by + text[start + self.length :]


def cuts() -> st.SearchStrategy[Cut]:
    """Inserted, dropped and replaced parts."""
    return st.builds(Cut, st.integers(0, 1000), st.sampled_from([0, 0, 1, 2, 5, 100]), odd_texts())


@st.composite
def texts(draw: st.DrawFn, valid: Sequence[str]) -> str:
    """A valid text, mostly with a few cuts; or an odd one."""
    if draw(st.integers(0, 9)) == 0:
        return draw(odd_texts())
    text = draw(st.sampled_from(valid))
    for cut in draw(st.just([]) | st.just([]) | st.lists(cuts(), max_size=2)):
        text = cut.of(text)
    return text


@dataclass(frozen=True)
class Edit:
    """A change of nested lists and dictionaries."""

    where: Where
    how: str
    """``set``, ``drop``, ``add`` (beside it, under the value as a name) or ``twice``."""
    value: Any = None

    def on(self, content: Any) -> None:
        """Change it in place; a place that an earlier edit took away is left alone."""
        inside, name = content, self.where[-1]
        try:
            for step in self.where[:-1]:
                inside = inside[step]
            if self.how == "drop":
                del inside[name]
            elif self.how == "add":
                inside[str(plain(self.value))] = copy.deepcopy(inside[name])
            elif self.how == "twice":
                inside[name] = [inside[name], inside[name]]
            else:
                inside[name] = plain(self.value)
        except (KeyError, IndexError, TypeError, RecursionError):
            return


def edited(content: Any, edits: Sequence[Edit]) -> Any:
    """A copy with all edits."""
    content = copy.deepcopy(content)
    for edit in edits:
        edit.on(content)
    return content


def edits(content: Any, most: int = 3) -> st.SearchStrategy[tuple[Edit, ...]]:
    """Edits of the places that there are in some valid content."""
    one = st.builds(
        Edit,
        st.sampled_from([where for where in places(content) if where]),
        st.sampled_from(["set", "set", "set", "set", "drop", "add", "twice"]),
        odd_values(),
    )
    return st.lists(one, min_size=1, max_size=most).map(tuple)


def places(content: Any, above: Where = ()) -> Iterator[Where]:
    """Every place in nested lists and dictionaries, the whole of it first."""
    yield above
    inside: Sequence[tuple[str | int, Any]] = []
    if isinstance(content, dict):
        inside = list(content.items())
    elif isinstance(content, list):
        inside = list(enumerate(content))
    for name, value in inside:
        yield from places(value, (*above, name))


@dataclass(frozen=True)
class Patch:
    """Bytes of a file changed; places are shares of its length, in thousandths."""

    at: int
    how: str
    """``flip`` a bit, ``cut`` the rest off, ``put`` bytes in place of others, ``insert`` them."""
    by: bytes = b""

    def of(self, data: bytes) -> bytes:
        """The changed bytes."""
        start = min(len(data) * self.at // 1000, max(len(data) - 1, 0))
        if self.how == "cut":
            return data[:start]
        if self.how == "insert":
            return data[:start] + self.by + data[start:]
        if self.how == "put":
            return data[:start] + self.by + data[start + len(self.by) :]
        return (
            data[:start] + bytes(byte ^ 4 for byte in data[start : start + 1]) + data[start + 1 :]
        )


def patches() -> st.SearchStrategy[tuple[Patch, ...]]:
    """A few changes of a file's bytes."""
    odd = st.sampled_from(
        [b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 3000, b"9" * 400, b"\r"]
    )
    one = st.builds(
        Patch,
        st.integers(0, 1000) | st.integers(0, 60),
        st.sampled_from(["flip", "cut", "put", "insert"]),
        odd | st.binary(max_size=4),
    )
    return st.lists(one, min_size=1, max_size=3).map(tuple)


def patched(data: bytes, changes: Sequence[Patch]) -> bytes:
    """The bytes after all changes."""
    for change in changes:
        data = change.of(data)
    return data


def as_json(content: Any) -> bytes:
    """JSON as loosely as Python's own module writes it: NaN, lone surrogates, any depth."""
    try:
        return json.dumps(content, indent=1).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b'{"a":' * 3000


def as_toml(content: Any, above: str = "") -> str:
    """TOML of a dictionary, in which some values may be none that TOML has."""
    lines, tables = [], []
    for name, value in content.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            inside = above + _name(name)
            tables += [f"[[{inside}]]\n{as_toml(item, f'{inside}.')}" for item in value]
        elif isinstance(value, dict):
            inside = above + _name(name)
            tables.append(f"[{inside}]\n{as_toml(value, f'{inside}.')}")
        else:
            lines.append(f"{_name(name)} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _name(name: object) -> str:
    return json.dumps(str(name), ensure_ascii=False).replace("\x7f", "")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        try:
            return f"[{', '.join(_toml(item) for item in value)}]"
        except RecursionError:
            return "[" * 3000 + "]" * 3000
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_name(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return repr(value)
