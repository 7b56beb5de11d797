"""From records to tidy tables: results.csv, epochs.csv, classes.csv, flags.csv."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from robench.analysis.statistics import wilson
from robench.errors import StoreError
from robench.evaluation.outcomes import unpack
from robench.settings import Plain
from robench.store.files import locked, write
from robench.store.records import CellFolder, cell_folders, read_record

RESULTS = (
    "method", "settings", "deviates", "dataset", "model", "seed", "checkpoint", "epoch",
    "select_on", "train_norm", "train_eps", "train_limit", "suite", "attack", "norm", "eps",
    "eps_value", "test_limit", "n", "n_right", "n_stands", "natural_accuracy", "robust_accuracy",
    "ci_low", "ci_high", "verdict", "flags", "status", "reason", "seconds", "forwards", "backwards",
    "peak_mb", "train_seconds", "train_forwards", "train_backwards", "device", "torch",
    "packages", "cell", "key",
)  # fmt: skip
"""Columns of results.csv; a row an attack, and ``attack=worst`` closes the suite."""

COUNTS = (
    "seed", "epoch", "train_limit", "test_limit", "n", "n_right", "n_stands", "forwards",
    "backwards", "train_forwards", "train_backwards",
)  # fmt: skip
"""Columns of whole numbers, some of them empty."""

WORST = "worst"

Row = dict[str, Any]


@dataclass(frozen=True)
class _Cell:
    """A cell's folder, its record, and the columns that all its rows share."""

    folder: CellFolder
    record: Plain
    columns: Row


def read(results: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """All tidy tables of a results folder by name, and what in it could not be trusted."""
    rows: dict[str, list[Row]] = {name: [] for name in ("results", "epochs", "classes", "flags")}
    problems: list[str] = []
    for folder in cell_folders(results):
        try:
            record = read_record(folder.record)
        except StoreError as error:
            problems.append(str(error))
            continue
        cell = _Cell(folder, record, _columns(folder, record))
        rows["epochs"] += _epochs(cell, problems)
        rows["flags"] += _flags(cell)
        if record["status"] != "ok":
            rows["results"].append(_without_outcome(cell))
        for path in folder.evaluations():
            try:
                evaluation = read_record(path)
                if record["status"] != "ok" or not _is_of(evaluation, record):
                    continue
                rows["results"] += _results(cell, evaluation)
                rows["classes"] += _classes(cell, evaluation, path)
            except StoreError as error:
                problems.append(str(error))
    frames = {name: pd.DataFrame(found) for name, found in rows.items()}
    table = pd.DataFrame(rows["results"], columns=list(RESULTS))
    frames["results"] = table.astype(dict.fromkeys(COUNTS, "Int64"))
    return frames, problems


def write_tables(results: Path) -> list[str]:
    """Rebuild the tables from the cells, one writer at a time; what could not be trusted."""
    with locked(results / ".tables.lock", wait=True):
        frames, problems = read(results)
        for name, frame in frames.items():
            write(results / f"{name}.csv", frame.to_csv(index=False).encode())
    return problems


def _columns(folder: CellFolder, record: Plain) -> Row:
    identity, environment = record["identity"], record["environment"]
    inside = record["label"].partition("[")[2].removesuffix("]")
    return {
        "method": identity["method"],
        "settings": inside,
        "deviates": record["deviates"],
        "dataset": identity["dataset"],
        "model": identity["model"],
        "seed": identity["seed"],
        "select_on": record["select_on"],
        "train_norm": identity["norm"],
        "train_eps": identity["eps"],
        "train_limit": identity["train_limit"],
        "train_seconds": record.get("seconds"),
        "train_forwards": record.get("forwards"),
        "train_backwards": record.get("backwards"),
        "device": environment["device"],
        "torch": environment["torch"],
        "cell": folder.path.name,
    }


def _without_outcome(cell: _Cell) -> Row:
    """A cell that has no weights to attack is one row that says why."""
    own = ("status", "reason", "key")
    return cell.columns | {"attack": WORST} | {name: cell.record[name] for name in own}


def _is_of(evaluation: Plain, cell: Plain) -> bool:
    """Whether an evaluation attacked the weights that the cell has now."""
    kept = cell["checkpoints"].get(evaluation["identity"]["checkpoint"])
    return evaluation["identity"]["cell"] == cell["key"] and evaluation["weights"] == kept["sha256"]


def _results(cell: _Cell, evaluation: Plain) -> Iterator[Row]:
    """A row for each attack, and one for the worst case over all of them."""
    identity, environment = evaluation["identity"], evaluation["environment"]
    common = cell.columns | {
        "checkpoint": identity["checkpoint"],
        "epoch": evaluation["epoch"],
        "suite": identity["suite"],
        "norm": identity["norm"],
        "eps": identity["eps"],
        "eps_value": float(Fraction(identity["eps"])),
        "test_limit": identity["test_limit"],
        "verdict": evaluation["verdict"],
        "flags": " ".join(_flags_at(cell.record, evaluation["epoch"])),
        "status": evaluation["status"],
        "reason": evaluation["reason"],
        "device": environment["device"],
        "torch": environment["torch"],
        "packages": evaluation["packages"],
        "key": evaluation["key"],
    }
    if evaluation["status"] != "ok":
        yield common | {"attack": WORST, "seconds": evaluation["seconds"]}
        return
    attacks = evaluation["order"][1:]
    for name in attacks:
        yield common | {"attack": name} | _accuracies(evaluation, name, [name])
    last = evaluation["order"][-1]
    yield common | {"attack": WORST} | _accuracies(evaluation, last, evaluation["order"])


def _accuracies(evaluation: Plain, name: str, spent_by: list[str]) -> Row:
    """How many stand after an attack and all before it, and what the named attacks cost."""
    n, right, stands = evaluation["n"], evaluation["stands"]["natural"], evaluation["stands"][name]
    low, high = wilson(stands, n)
    costs = [evaluation["costs"][spender] for spender in spent_by]
    return {
        "n": n,
        "n_right": right,
        "n_stands": stands,
        "natural_accuracy": right / n,
        "robust_accuracy": stands / n,
        "ci_low": low,
        "ci_high": high,
        **{key: sum(cost[key] for cost in costs) for key in ("seconds", "forwards", "backwards")},
        "peak_mb": max(cost["peak_mb"] for cost in costs),
    }


def _classes(cell: _Cell, evaluation: Plain, path: Path) -> Iterator[Row]:
    """Natural and worst-case accuracy of each class."""
    if evaluation["status"] != "ok":
        return
    outcomes = unpack(path.with_suffix(".npz"))
    identity = evaluation["identity"]
    for label in np.unique(outcomes.y):
        mine = outcomes.y == label
        yield {
            **{name: cell.columns[name] for name in ("method", "settings", "dataset", "model")},
            "seed": cell.columns["seed"],
            **{name: identity[name] for name in ("checkpoint", "suite", "norm", "eps")},
            "class": int(label),
            "n": int(mine.sum()),
            "n_right": int(outcomes.stands["natural"][mine].sum()),
            "n_stands": int(outcomes.worst[mine].sum()),
            "key": evaluation["key"],
        }


def _epochs(cell: _Cell, problems: list[str]) -> list[Row]:
    if not cell.folder.curve.is_file():
        return []
    try:
        frame = pd.read_csv(cell.folder.curve)
    except (ValueError, OSError) as error:
        problems.append(f"{cell.folder.curve} cannot be read: {error}")
        return []
    own = {name: cell.columns[name] for name in ("method", "settings", "dataset", "model", "seed")}
    return [
        {**own, **row, "cell": cell.columns["cell"]}
        for row in cast(list[Row], frame.to_dict("records"))
    ]


def _flags(cell: _Cell) -> Iterator[Row]:
    for trouble in cell.record.get("troubles", []):
        own = ("method", "settings", "dataset", "model", "seed", "cell")
        yield {name: cell.columns[name] for name in own} | trouble


def _flags_at(record: Plain, epoch: int) -> list[str]:
    """Flags that were up when a checkpoint was taken."""
    return [t["flag"] for t in record.get("troubles", []) if t["epoch"] == epoch]
