"""Settings: the fields of a frozen dataclass, described, changed and compared by dotted name.

Methods, attacks and the recipe are such dataclasses. A field's type is its schema: ranges are
``Annotated[float, Meta(gt=0)]`` (msgspec's Meta), closed sets are ``Literal``, and the string under
a field is its help.
"""

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from robench import names
from robench.errors import ConfigError

T = TypeVar("T")
Plain = dict[str, Any]

_FRACTION = re.compile(r"\s*(\d+(?:\.\d*)?)/([1-9]\d*)\s*", re.ASCII)


class Named:
    """Base of dataclasses that a setting holds by name: another one may take their place."""

    noun: ClassVar[str]
    """What it is, for a person."""

    @property
    def choice(self) -> str:
        """The name."""
        raise NotImplementedError


Lookup = Callable[[str], Named]
"""From a name to what takes the place of another such thing, with its presets."""


@dataclass(frozen=True)
class Setting:
    """One field, for a person: its dotted name, type and range in words, value, help."""

    name: str
    kind: str
    value: object
    help: str


def describe(settings: object) -> list[Setting]:
    """Every setting with its present value; those of nested dataclasses have dotted names."""
    kind: type = type(settings)
    found, hints, helps = [], _hints(kind), _helps(kind)
    for field in fields(_dataclass(settings)):
        value = getattr(settings, field.name)
        if isinstance(value, Named):
            help_ = helps.get(field.name, "")
            found.append(Setting(field.name, value.noun, value.choice, help_))
        if is_dataclass(value) and not isinstance(value, type):
            found += [replace(s, name=f"{field.name}.{s.name}") for s in describe(value)]
        else:
            found.append(
                Setting(field.name, _in_words(hints[field.name]), value, helps.get(field.name, ""))
            )
    return found


def change(
    owner: str, settings: T, changes: Mapping[str, object], lookup: Lookup | None = None
) -> T:
    """A copy with some settings changed, all at once; values may be text from the command line.

    What is held by name comes from ``lookup``, before its own settings are changed.

    Raises:
        ConfigError: no such setting, or a value outside its type or range.
    """
    values: dict[str, object] = {}
    nested: dict[str, dict[str, object]] = {}
    for path, value in changes.items():
        head, dot, rest = path.partition(".")
        inner = _field(owner, settings, head, path)
        if isinstance(inner, Named) and not dot:
            values[head] = (
                inner if value == inner.choice else _looked_up(owner, path, value, lookup)
            )
            continue
        if is_dataclass(inner) != bool(dot):
            raise _unknown(owner, settings, path)
        if dot:
            nested.setdefault(head, {})[rest] = value
        else:
            hint = _hints(type(settings))[head]
            values[head] = _convert(f"{owner}: {path}", value, hint)
    for head, deeper in nested.items():
        inner = values.get(head, getattr(settings, head))
        values[head] = change(f"{owner}: {head}", inner, deeper, lookup)
    try:
        return replace(_dataclass(settings), **values) if values else settings
    except ValueError as error:  # a plugin's own __post_init__ refuses them
        raise ConfigError(f"{owner}: {error}") from error


def validated(owner: str, settings: T) -> T:
    """The same with every value as its type says: 1 for a number is 1.0, as when it is typed.

    Raises:
        ConfigError: a value is outside its type or range, as in a preset that has a slip.
    """
    return change(owner, settings, {s.name: s.value for s in describe(settings)})


def plain(settings: object) -> Plain:
    """Every setting as text, numbers, lists and dictionaries: what files and keys hold."""
    return {f.name: plain_value(getattr(settings, f.name)) for f in fields(_dataclass(settings))}


def differences(new: T, old: T, lookup: Lookup | None = None) -> dict[str, tuple[object, object]]:
    """Settings whose values differ, each with its new and old value.

    Where another name is held, its settings are compared with what ``lookup`` gives for it, so
    what it has by itself is no difference.
    """
    return dict(_differences(new, old, lookup))


def _differences(
    new: object, old: object, lookup: Lookup | None
) -> Iterator[tuple[str, tuple[object, object]]]:
    for field in fields(_dataclass(new)):
        value, before = getattr(new, field.name), getattr(old, field.name, None)
        if isinstance(value, Named):
            name, was = value.choice, before.choice if isinstance(before, Named) else None
            if name != was:
                yield field.name, (name, was)
                before = lookup(name) if lookup else before
        if is_dataclass(value) and not isinstance(value, type):
            for path, pair in _differences(value, before, lookup):
                yield f"{field.name}.{path}", pair
        elif value != before:
            yield field.name, (value, before)


def text(value: object) -> str:
    """A value as the command line takes it."""
    if isinstance(value, tuple):
        return f"({','.join(text(item) for item in value)})"
    if isinstance(value, bool | None):
        return str(value).lower()
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """The first of 0.5, 8/255 (or 1.5/255) and 1/30 that is exact."""
    short = f"{value:g}"
    if not math.isfinite(value) or float(short) == value:
        return short
    levels = float(f"{255 * value:g}")
    usual = levels.is_integer() if levels >= 8 else (2 * levels).is_integer()
    if levels / 255 == value and usual and levels <= 64:
        return f"{levels:g}/255"
    ratio = Fraction(value).limit_denominator(1000)
    return str(ratio) if ratio.numerator / ratio.denominator == value else str(value)


def _field(owner: str, settings: object, name: str, path: str) -> object:
    if name not in {f.name for f in fields(_dataclass(settings))}:
        raise _unknown(owner, settings, path)
    return getattr(settings, name)


def _looked_up(owner: str, path: str, value: object, lookup: Lookup | None) -> Named:
    if lookup is None:
        raise ConfigError(f"{owner}: {path} cannot be changed here")
    name, bracket, _ = str(value).partition("[")
    if bracket:
        raise ConfigError(
            f"{owner}: {path} is a name alone; write {path}={name},{path}.SETTING=VALUE"
        )
    return lookup(name)


def _unknown(owner: str, settings: object, path: str) -> ConfigError:
    known = [setting.name for setting in describe(settings)]
    close = names.closest(path, known)
    hint = f" (did you mean {close!r}?)" if close else ""
    return ConfigError(
        f"{owner} has no setting {path!r}{hint}; it has: {', '.join(known) or 'none'}"
    )


def _convert(what: str, value: object, hint: Any) -> object:
    given = value
    if isinstance(value, str):
        value = _from_text(value.strip(), hint)
    try:
        new = msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        expected = _in_words(hint)
        detail = expected if expected != "text" else str(error)
        raise ConfigError(f"{what} cannot be {text(given)}; it is {detail}") from None
    if isinstance(new, float) and not math.isfinite(new):
        raise ConfigError(f"{what} cannot be {text(given)}; it must be finite")
    return new


def _from_text(value: str, hint: Any) -> object:
    """Text as typed to what msgspec takes: lists, none, and numbers as ``.5`` or ``8/255``."""
    if value.lower() == "none" and _accepts(hint, type(None)):
        return None
    if (listed := _tuple(hint)) is not None:
        item = get_args(listed)[0]
        return [_from_text(part, item) for part in value.strip("()[]").split(",") if part.strip()]
    if _accepts(hint, float):
        if match := _FRACTION.fullmatch(value):
            return float(match[1]) / float(match[2])
        with suppress(ValueError):
            return float(value)
    return value


def _tuple(hint: Any) -> Any:
    """The list among what a setting may be; none when it cannot be one."""
    if get_origin(hint) is tuple:
        return hint
    parts = (_tuple(part) for part in get_args(hint) if not isinstance(part, str | msgspec.Meta))
    return next((part for part in parts if part is not None), None)


def _accepts(hint: Any, kind: type) -> bool:
    if get_origin(hint) is Annotated:
        return _accepts(get_args(hint)[0], kind)
    if get_origin(hint) is tuple:  # what its items may be, it may not
        return False
    if hint is kind:
        return True
    return any(_accepts(part, kind) for part in get_args(hint) if not isinstance(part, str))


def _in_words(hint: Any) -> str:
    """A type and its range, for a person."""
    if get_origin(hint) is Annotated:
        base, *rest = get_args(hint)
        bounds = " and ".join(_bounds(meta) for meta in rest if isinstance(meta, msgspec.Meta))
        return f"{_in_words(base)} {bounds}".strip()
    if get_origin(hint) is tuple:
        return f"a list, each {_in_words(get_args(hint)[0])}"
    simple = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    if hint in simple:
        return simple[hint]
    if hint is type(None):
        return "none"
    choices = get_origin(hint) is Literal
    words = [str(part) if choices else _in_words(part) for part in get_args(hint)]
    return " or ".join([", ".join(words[:-1]), words[-1]]) if words[1:] else "".join(words)


def _bounds(meta: msgspec.Meta) -> str:
    signs = {">=": meta.ge, ">": meta.gt, "<=": meta.le, "<": meta.lt}
    return " and ".join(f"{sign} {bound:g}" for sign, bound in signs.items() if bound is not None)


def plain_value(value: object) -> Any:
    """The same for one value; functions by name, with all that is bound to them.

    Raises:
        TypeError: it is something else, of which no key could be made.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__, **plain(value)}
    if isinstance(value, tuple | list):
        return [plain_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if isinstance(value, partial):
        return {
            "is": plain_value(value.func),
            "given": [plain_value([*value.args]), plain_value(value.keywords)],
        }
    if inspect.isroutine(value):
        bound = inspect.getclosurevars(value).nonlocals if inspect.isfunction(value) else {}
        return {"is": value.__qualname__, **plain_value(bound)} if bound else value.__qualname__
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a setting cannot be {value!r}; use numbers, text, lists and dataclasses")


def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@cache  # the source is read once
def _helps(cls: type) -> Mapping[str, str]:
    """The string that follows each field in the source, newest class first."""
    found: dict[str, str] = {}
    for owner in reversed([c for c in cls.__mro__ if is_dataclass(c)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def _dataclass(settings: object) -> Any:
    if not is_dataclass(settings):
        raise TypeError(f"{settings!r} is no dataclass, so it has no settings")
    return settings
