"""The grid as typed: lists, ranges and brackets to the product of what they name."""

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from robench.errors import ConfigError
from robench.radius import Norm
from robench.store.cell import Kept
from robench.store.files import is_deep

MOST_SEEDS = 1000
MOST_CHOICES = 1000

OPTIONS = (
    "methods", "dataset", "model", "suite", "norm", "eps", "train_norm", "train_eps", "seeds",
    "recipe", "checkpoints", "train_limit", "test_limit", "set",
)  # fmt: skip
"""Options of a run that say which cells there are; the others say where and how they are run."""


@dataclass(frozen=True)
class Choice:
    """A method with some settings changed, as one entry of ``--methods`` names it."""

    method: str
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A grid, parsed but not yet looked up: no file was read for it."""

    methods: tuple[Choice, ...]
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    """Empty: each data set's own."""
    suites: tuple[str, ...]
    norm: Norm
    eps: tuple[Fraction, ...]
    """Radii attacked; empty: each data set's own."""
    train_norm: Norm
    train_eps: tuple[Fraction, ...]
    """Radii trained at; empty: each data set's own."""
    seeds: tuple[int, ...]
    changes: Mapping[str, object]
    """``recipe.FIELD`` or ``METHOD.FIELD`` to a value, for the whole grid."""
    checkpoints: tuple[Kept, ...]
    train_limit: int | None
    test_limit: int | None
    data_root: Path
    download: bool
    recipe: str = "paper"
    """The name of the recipe that all share."""
    save_adversarial: int = 0
    """Of how many test images an evaluation keeps what broke them."""
    elsewhere: frozenset[str] = frozenset()
    """Names in ``changes`` that other parts of a grid file have a use for, if none here."""


def split(text: str) -> list[str]:
    """Parts between the commas that stand outside all brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise ConfigError(f"brackets do not match in {text!r}")
    return [part.strip() for part in parts if part.strip()]


def choices(text: str) -> list[Choice]:
    """``trades[beta=1,3,attack.steps=5],madry``: every combination of the values in brackets."""
    found: list[Choice] = []
    for part in split(text):
        name, bracket, inside = part.partition("[")
        if bracket and not inside.endswith("]"):
            raise ConfigError(f"{part!r} does not end with its bracket")
        found += [
            Choice(name, changes) for changes in _combinations(name, inside.removesuffix("]"))
        ]
        if len(found) > MOST_CHOICES:
            raise ConfigError(f"{name}[...] makes over {MOST_CHOICES} methods")
    return found


def seeds(text: str) -> tuple[int, ...]:
    """``0-2,7`` to (0, 1, 2, 7); whole numbers from 0 up."""
    found: list[int] = []
    for part in split(text):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError(f"seeds {part!r} is no whole number or range; write 0, 0-2 or 0,3,7")
        low, high = (
            int(number) if len(number) < 20 else 2**64 for number in (first, last or first)
        )
        if high < low or high - low >= MOST_SEEDS or high >= 2**32:
            raise ConfigError(f"seeds {part!r} is empty, over {MOST_SEEDS} long or over 2^32")
        found += range(low, high + 1)
        if len(found) > MOST_SEEDS:
            raise ConfigError(f"seeds are over {MOST_SEEDS}")
    if not found:
        raise ConfigError("seeds is empty; write 0, 0-2 or 0,3,7")
    return tuple(dict.fromkeys(found))


def read_config(path: Path) -> dict[str, Any]:
    """A grid file: option names to values, and a table ``set`` of settings by dotted name."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"config {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"config {path} is no TOML: {error}") from error
    if is_deep(content):
        raise ConfigError(f"config {path} is nested too deep")
    return content


def to_config(options: Mapping[str, Any]) -> str:
    """The grid file that asks for the same grid again: options as typed, ``set`` as pairs."""
    # JSON's strings, whole numbers and lists are TOML's, too.
    lines = [
        f"{name.replace('_', '-')} = {json.dumps(options[name])}"
        for name in OPTIONS
        if name != "set" and options[name]
    ]
    pairs = [text.partition("=") for text in options["set"]]
    changes = {name.strip(): value.strip() for name, _, value in pairs}
    if changes:
        lines += ["", "[set]"]
        lines += [f"{json.dumps(name)} = {json.dumps(changes[name])}" for name in sorted(changes)]
    return "\n".join(lines) + "\n"


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested tables to dotted names."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _combinations(name: str, inside: str) -> list[dict[str, str]]:
    values: dict[str, list[str]] = {}
    setting = ""
    for part in split(inside):
        before, equals, after = part.partition("=")
        if equals:
            setting = before.strip()
            if setting in values:
                raise ConfigError(f"{name}[...] names {setting!r} twice")
            values[setting] = [after.strip()]
        elif setting:
            values[setting].append(part)
        else:
            raise ConfigError(f"{name}[{inside}] is not of the form {name}[setting=value,...]")
    combinations = itertools.islice(itertools.product(*values.values()), MOST_CHOICES + 1)
    return [dict(zip(values, combination, strict=True)) for combination in combinations]
