"""The tidy tables of a results folder: results.csv, measures.csv, epochs.csv and others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from robench.analysis import rows
from robench.analysis.rows import Row
from robench.errors import ConfigError, StoreError
from robench.evaluation.flags import FLAGS
from robench.evaluation.stored import is_of, read_evaluation
from robench.names import printable
from robench.store.files import write
from robench.store.locks import Lock
from robench.store.records import cell_folders

RESULTS = (
    "method", "settings", "deviates", "plugin", "settings_key", "recipe", "recipe_key", "dataset",
    "data", "model", "seed", "checkpoint", "epoch", "select_on", "train_norm", "train_eps",
    "train_limit", "suite", "suite_key", "attack", "norm", "eps", "eps_value", "sweep",
    "test_limit", "n", "n_right", "n_stands", "n_carried", "natural_accuracy", "robust_accuracy",
    "ci_low", "ci_high", "verdict", "audited", "audit_bound", "flags", "status", "reason",
    "seconds", "forwards", "backwards", "peak_mb", "train_seconds", "train_forwards",
    "train_backwards", "device", "torch", "packages", "cell", "key",
    *map(rows.flag_column, FLAGS),
)  # fmt: skip
"""Columns of results.csv; a row an attack, and ``attack=worst`` closes the suite.

Its last columns say of every masking flag whether it is ok, up or unknown.
"""

_OF_MEASURES = tuple(name for name in RESULTS[: RESULTS.index("n")] if name != "attack")

Found = dict[str, list[Row]]
"""Rows by table."""

COLUMNS = {
    "results": RESULTS,
    "measures": (
        *_OF_MEASURES, "measure", "name", "value", "low", "high", "n", "status", "reason", "device",
        "torch", "packages", "cell", "key",
    ),
    "curves": ("key", "measure", "curve", "x_label", "y_label", "x", "y"),
    "epochs": (
        *rows.OF_CELL, "cell", "epoch", "stage", "lr", "loss", "validation_natural",
        "validation_robust", "seconds", "forwards", "backwards",
    ),
    "classes": (
        *rows.OF_CELL, "checkpoint", "suite", "norm", "eps", "class", "n", "n_right", "n_stands",
        "key",
    ),
    "flags": (
        *rows.OF_CELL, "cell", "checkpoint", "epoch", "suite", "norm", "eps", "flag", "status",
        "detail",
    ),
}  # fmt: skip
"""Tables by name; epochs.csv has more columns where methods log more.

What curves.csv says of an evaluation is found in measures.csv under the same key.
"""

COUNTS = (
    "seed", "epoch", "train_limit", "test_limit", "n", "n_right", "n_stands", "n_carried",
    "audited", "forwards", "backwards", "train_forwards", "train_backwards",
)  # fmt: skip
"""Columns of whole numbers, some of them empty."""


def read(results: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """All tidy tables of a results folder by name, and what in it could not be trusted."""
    found: Found = {name: [] for name in COLUMNS}
    problems: list[str] = []
    for folder in cell_folders(results):
        try:
            with _believed(folder.record):
                cell = rows.read_cell(folder)
                _add(found, _of_training(cell))
        except StoreError as error:
            problems.append(str(error))
            continue
        try:
            found["epochs"] += rows.epochs(cell)
        except StoreError as error:
            problems.append(str(error))
        for path in folder.evaluations() if cell.record["status"] == "ok" else ():
            try:
                with _believed(path):
                    _add(found, _of_evaluation(cell, path))
            except StoreError as error:
                problems.append(str(error))
    return {name: _frame(name, found[name]) for name in COLUMNS}, problems


@contextmanager
def _believed(path: Path) -> Iterator[None]:
    """A record that says something else than records do is no more trusted than a torn one."""
    try:
        yield
    except (ArithmeticError, AttributeError, ConfigError, LookupError, TypeError, ValueError) as e:
        what = f"{type(e).__name__}: {e}"
        raise StoreError(f"{path} is not as robench writes it ({what}); not used") from e


def _of_training(cell: rows.TrainedCell) -> Found:
    failed = cell.record["status"] != "ok"
    return {
        "flags": list(rows.flags(cell)),
        "results": [rows.without_outcome(cell)] if failed else [],
    }


def _of_evaluation(cell: rows.TrainedCell, path: Path) -> Found:
    evaluation = read_evaluation(path)
    if evaluation["status"] == "running":
        return {}
    if not is_of(evaluation, cell.record):
        raise StoreError(f"{path} is of weights that the cell no longer has; not used")
    return {
        "classes": list(rows.classes(cell, evaluation, path)),
        "results": list(rows.results(cell, evaluation)),
        "flags": list(rows.masking(cell, evaluation)),
        "measures": list(rows.measures(cell, evaluation)),
        "curves": list(rows.curves(evaluation, path)),
    }


def _add(found: Found, more: Found) -> None:
    """All rows of a record, or none where some cannot be rows."""
    for new in more.values():
        for row in new:
            for column in COUNTS:
                if not isinstance(row.get(column), int | None):
                    raise TypeError(f"{column} is {row[column]!r}")
    for name, new in more.items():
        found[name] += [{key: _plain(value) for key, value in row.items()} for row in new]


def _plain(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def write_tables(results: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Rebuild the tables' files from the cells, one writer at a time; the same as ``read``."""
    with Lock(results / ".tables.lock").held(wait=True):
        frames, problems = read(results)
        for name, frame in frames.items():
            write(results / f"{name}.csv", frame.to_csv(index=False).encode())
    return frames, problems


def _frame(name: str, found: list[Row]) -> pd.DataFrame:
    every = dict.fromkeys(column for row in found for column in row) if name == "epochs" else {}
    frame = pd.DataFrame(found, columns=[*dict.fromkeys((*COLUMNS[name], *every))])
    return frame.astype({column: "Int64" for column in COUNTS if column in frame})
