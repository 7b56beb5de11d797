"""The tidy tables of a results folder: results.csv, measures.csv, epochs.csv and others."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from robench.analysis import rows, union
from robench.analysis.rows import Row, TrainedCell
from robench.errors import StoreError
from robench.evaluation.flags import FLAGS
from robench.evaluation.stored import is_of, read_evaluation, read_outcomes
from robench.printable import printable
from robench.settings import Plain
from robench.store.files import write_text
from robench.store.locks import Lock
from robench.store.records import cell_folders

RESULTS = (
    "method", "settings", "deviates", "control", "plugin", "settings_key", "recipe", "recipe_key",
    "dataset", "data", "model", "seed", "checkpoint", "epoch", "select_on", "train_norm",
    "train_eps", "train_limit", "suite", "suite_key", "attack", "norm", "eps", "eps_value", "sweep",
    "test_limit", "n", "n_right", "n_stands", "n_carried", "natural_accuracy", "robust_accuracy",
    "ci_low", "ci_high", "verdict", "audited", "audit_bound", "flags", "status", "reason",
    "seconds", "forwards", "backwards", "peak_mb", "train_seconds", "train_forwards",
    "train_backwards", "train_peak_mb", "device", "torch", "packages", "cell", "key",
    *map(rows.flag_column, FLAGS),
)  # fmt: skip
"""Columns of results.csv; a row an attack, and ``attack=worst`` closes the suite.

Its last columns say of every masking flag whether it is ok, up or unknown.
"""

_OF_MEASURES = tuple(name for name in RESULTS[: RESULTS.index("n")] if name != "attack")

COLUMNS = {
    "results": RESULTS,
    "measures": (
        *_OF_MEASURES, "measure", "name", "value", "low", "high", "n", "note", "status", "reason",
        "device", "torch", "packages", "cell", "key",
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
    "union": union.COLUMNS,
    "flags": (
        *rows.OF_CELL, "cell", "checkpoint", "epoch", "suite", "norm", "eps", "flag", "status",
        "detail",
    ),
}  # fmt: skip
"""Tables by name; epochs.csv has more columns where methods log more.

What curves.csv says of an evaluation is found in measures.csv under the same key. union.csv is only
there where it has something to say.
"""

COUNTS = (
    "seed", "epoch", "train_limit", "test_limit", "n", "n_right", "n_stands", "n_carried",
    "audited", "forwards", "backwards", "train_forwards", "train_backwards",
)  # fmt: skip
"""Columns of whole numbers, some of them empty."""


@dataclass(frozen=True)
class Gathered:
    """What a results folder holds."""

    frames: dict[str, pd.DataFrame]
    """All tidy tables by name."""
    cells: list[TrainedCell]
    """Those that can be trusted, whatever came of them."""
    problems: list[str]
    """What could not be trusted."""
    unfinished: dict[Path, Plain] = field(default_factory=dict)
    """Evaluations that did not end well, or have not ended."""


def gather(results: Path) -> Gathered:
    """Read all cells of a results folder."""
    found: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    gathered = Gathered({}, [], [])
    for folder in cell_folders(results):
        try:
            cell = rows.read_cell(folder)
        except StoreError as error:
            gathered.problems.append(str(error))
            continue
        gathered.cells.append(cell)
        _of_cell(cell, found, gathered)
    gathered.frames.update({name: _frame(name, found[name]) for name in COLUMNS})
    return gathered


def _of_cell(cell: TrainedCell, found: dict[str, list[Row]], gathered: Gathered) -> None:
    """Add a cell's rows; what of it cannot be trusted is a problem, and no row."""
    try:
        found["epochs"] += rows.epochs(cell)
    except StoreError as error:
        gathered.problems.append(str(error))
    found["flags"] += rows.flags(cell)
    if cell.record["status"] != "ok":
        found["results"].append(rows.without_outcome(cell))
        return
    attacked = list[union.Attacked]()
    for path in cell.folder.evaluations():
        try:
            evaluation = read_evaluation(path)
            if evaluation["status"] != "ok":
                gathered.unfinished[path] = evaluation
            if evaluation["status"] == "running":
                continue  # not there yet
            if not is_of(evaluation, cell.record):
                said = "is of weights that the cell no longer has; not used"
                gathered.problems.append(f"{path} {said}")
                continue
            if rows.needs_outcomes(evaluation):
                outcomes = read_outcomes(path, evaluation)
                classes = [*rows.classes(cell, evaluation, outcomes)]
                curves = [*rows.curves(evaluation, outcomes, path)]  # may not be there, so
                found["classes"] += classes  # nothing is kept before
                found["curves"] += curves
                attacked.append((evaluation, outcomes))
            found["results"] += rows.results(cell, evaluation)
            found["flags"] += rows.masking(cell, evaluation)
            found["measures"] += rows.measures(cell, evaluation)
        except StoreError as error:
            gathered.problems.append(str(error))
    found["union"] += union.rows(cell, attacked)


def read(results: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """All tidy tables of a results folder by name, and what in it could not be trusted."""
    gathered = gather(results)
    return gathered.frames, gathered.problems


def write_tables(results: Path) -> Gathered:
    """Rebuild the tables' files from the cells, one writer at a time."""
    with Lock(results / ".tables.lock").held(wait=True):
        gathered = gather(results)
        for name, frame in gathered.frames.items():
            path = results / f"{name}.csv"
            if frame.empty and name == "union":
                path.unlink(missing_ok=True)
            else:
                write_text(path, frame.to_csv(index=False))
    return gathered


def _frame(name: str, found: list[Row]) -> pd.DataFrame:
    texts = {value for row in found for value in row.values() if isinstance(value, str)}
    if hidden := {text: printable(text) for text in texts if not text.isprintable()}:
        found = [
            {name: hidden.get(v, v) if isinstance(v, str) else v for name, v in row.items()}
            for row in found
        ]
    every = dict.fromkeys(column for row in found for column in row) if name == "epochs" else {}
    frame = pd.DataFrame(found, columns=[*dict.fromkeys((*COLUMNS[name], *every))])
    return frame.astype({column: "Int64" for column in COUNTS if column in frame})
