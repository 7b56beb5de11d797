"""Past results as regression tests: which worst cases are no longer what a results.csv says."""

import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from robench.analysis import table
from robench.errors import ConfigError
from robench.intervals import wilson
from robench.names import WORST
from robench.printable import printable
from robench.store.records import cell_folders

OF_TRAINING = (
    "method", "settings", "deviates", "recipe_key", "dataset", "data", "model", "seed",
    "train_norm", "train_eps", "train_limit",
)  # fmt: skip

OF_ATTACK = ("checkpoint", "suite", "norm", "eps", "sweep")

LIMIT = "test_limit"
"""What identifies a row, too; where only it is another, the row says so."""

VERSIONS = ("settings_key", "suite_key", "plugin", "packages")
"""What may change under the same name: of several rows the one with most of them alike counts, and
where a number has moved, those that did change are named. So are torch and device."""

Row = dict[str, str]

Change = Literal["same", "moved", "missing", "failed", "not comparable"]


@dataclass(frozen=True)
class Compared:
    """What became of a row of the baseline."""

    label: str
    """Method with its settings, data, network, seed, checkpoint, suite, norm and radius."""
    change: Change
    said: str = ""
    """From what to what, the interval, or why there is no number."""


@dataclass(frozen=True)
class Comparison:
    """A results folder beside a baseline."""

    rows: tuple[Compared, ...]
    """The worst cases that the baseline has numbers for, in its order."""
    failed_before: int
    """Rows of the baseline without a number, which say nothing."""
    new: int
    """Worst cases of the folder that the baseline does not have."""
    problems: tuple[str, ...]
    """Files of the folder that cannot be trusted."""

    @property
    def bad(self) -> tuple[Compared, ...]:
        """All that are not what they were."""
        return tuple(row for row in self.rows if row.change != "same")


def compare(results: Path, baseline: Path) -> Comparison:
    """Look every worst case of a results.csv up in a results folder.

    One has moved when its natural or its robust accuracy lies outside the baseline's 95 % Wilson
    interval of that number.

    Raises:
        ConfigError: the folder holds no cells, or the baseline is no results.csv.
    """
    before = _baseline(baseline)
    if not cell_folders(results):
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    frames, problems = table.read(results)
    now = _worst(io.StringIO(frames["results"].to_csv(index=False)))
    by_place = defaultdict[tuple[str, ...], list[Row]](list)
    for row in now:
        by_place[_place(row)].append(row)
    measured = [row for row in before if row["status"] == "ok"]
    found = [(row, _nearest(row, by_place[_place(row)])) for row in measured]
    seen = {row["key"] for _, rows in found for row in rows}
    new = sum(row["status"] == "ok" and row["key"] not in seen for row in now)
    compared = tuple(_compared(row, rows, now) for row, rows in found)
    return Comparison(compared, len(before) - len(measured), new, tuple(problems))


def _baseline(path: Path) -> list[Row]:
    try:
        rows = _worst(path)
        for row in rows:
            if row["status"] == "ok" and not _is_count(row):
                raise ValueError(f"counts that cannot be, of {_label(row)}")
    except (ValueError, KeyError, OSError) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, OSError):
            why = error.strerror or why
        raise ConfigError(f"{path} is no results.csv: {' '.join(why.split())}") from error
    if not any(row["status"] == "ok" for row in rows):
        raise ConfigError(f"{path} has no worst-case accuracy to compare with")
    return rows


def _worst(source: Path | io.StringIO) -> list[Row]:
    """The rows that close a suite, and those of cells and evaluations that failed; as texts."""
    frame = pd.read_csv(source, dtype=str, keep_default_na=False, encoding="utf-8")
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("a row is longer than its header")
    needed = [*OF_TRAINING, *OF_ATTACK, LIMIT, *VERSIONS, "attack", "status", "reason", "key"]
    for name in [*needed, "torch", "device", "n", "n_right", "n_stands"]:
        frame[name] = frame[name].map(printable)
    rows: list[Any] = frame[frame["attack"] == WORST].to_dict("records")
    return rows


def _is_count(row: Row) -> bool:
    stands, right, n = (int(row[name]) for name in ("n_stands", "n_right", "n"))
    return 0 <= stands <= right <= n and n > 0


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in (*OF_TRAINING, *OF_ATTACK, LIMIT))


def _nearest(row: Row, same: list[Row]) -> list[Row]:
    """Of rows that are the same evaluation by name those that are most alike by version."""
    likeness = [sum(row[name] == other[name] for name in VERSIONS) for other in same]
    return [other for other, n in zip(same, likeness, strict=True) if n == max(likeness)]


def _compared(row: Row, found: list[Row], now: Iterable[Row]) -> Compared:
    label = _label(row)
    if not found:
        return _absent(row, now)
    if len(found) > 1:
        cells = ", ".join(sorted({f"{other['cell']} {other['key'][:8]}" for other in found}))
        return Compared(label, "not comparable", f"several rows may be it: {cells}")
    (other,) = found
    if other["status"] != "ok":
        return Compared(label, "failed", other["reason"])
    if other["n"] != row["n"]:
        return Compared(label, "not comparable", f"{row['n']} test images -> {other['n']}")
    moves = [_move(row, other, what) for what in ("n_right", "n_stands")]
    if not any(moves):
        return Compared(label, "same")
    versions = [name for name in (*VERSIONS, "torch", "device") if row[name] != other[name]]
    if versions:
        moves.append(f"with another {', '.join(versions)}")
    return Compared(label, "moved", "; ".join(filter(None, moves)))


def _absent(row: Row, now: Iterable[Row]) -> Compared:
    """Why there is no row of that name: the training failed, the limit is another, or nothing."""
    for other in now:
        if not _alike(row, other, OF_TRAINING):
            continue
        if not other["suite"]:
            return Compared(_label(row), "failed", f"its training: {other['reason']}")
        if _alike(row, other, OF_ATTACK):
            said = f"{row['n']} test images -> {other['n'] or 'failed'}"
            return Compared(_label(row), "not comparable", said)
    return Compared(_label(row), "missing")


def _move(row: Row, other: Row, what: str) -> str:
    """A number that left its interval; empty: it did not."""
    n = int(row["n"])
    low, high = wilson(int(row[what]), n)
    before, now = int(row[what]) / n, int(other[what]) / n
    if low <= now <= high:
        return ""
    name = "natural" if what == "n_right" else "robust"
    return f"{name} {before:.1%} -> {now:.1%} ({low:.1%} to {high:.1%})"


def _alike(row: Row, other: Row, names: Iterable[str]) -> bool:
    return all(row[name] == other[name] for name in names)


def _label(row: Row) -> str:
    method = f"{row['method']}[{row['settings']}]" if row["settings"] else row["method"]
    names = ("checkpoint", "suite", "norm", "eps")
    return " ".join(
        (method, row["dataset"], row["model"], f"seed {row['seed']}", *(row[n] for n in names))
    )
