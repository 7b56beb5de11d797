"""From a cell's and an evaluation's records to tidy rows."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robench import settings
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes
from robench.intervals import wilson
from robench.names import TOGETHER, WORST
from robench.radius import parse_eps
from robench.settings import Plain
from robench.store.files import digest
from robench.store.records import CellFolder, read_record
from robench.training.recipes import RECIPES

Row = dict[str, Any]

_OF_SUITE = ("plugin", "attacks", "rules", "packages", "when_random")

_COUNTED = ("epoch", "forwards", "backwards")
"""Columns of train.csv that hold whole numbers."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")
"""One that 64 bits have room for."""

OF_CELL = ("method", "settings", "dataset", "model", "seed")


@dataclass(frozen=True)
class TrainedCell:
    """A cell's folder, its record, and the columns that all its rows share."""

    folder: CellFolder
    record: Plain
    columns: Row


def read_cell(folder: CellFolder) -> TrainedCell:
    """A cell to make rows of.

    Raises:
        StoreError: its record is not to be trusted.
    """
    record = read_record(folder.record)
    return TrainedCell(folder, record, _columns(folder, record))


def _columns(folder: CellFolder, record: Plain) -> Row:
    identity, environment = record["identity"], record["environment"]
    inside = record["label"].partition("[")[2].removesuffix("]")
    shared = record["shared"]
    return {
        "method": identity["method"],
        "settings": inside,
        "deviates": record["deviates"],
        "control": record.get("control", ""),
        "plugin": identity["plugin"][:8],
        "settings_key": digest(identity["settings"] | _extra(identity))[:8],
        "recipe": " ".join(recipe_changes(shared, identity["dataset"])),
        "recipe_key": digest(shared)[:8],
        "dataset": identity["dataset"],
        "data": identity["data"][:8],
        "model": identity["model"],
        "seed": identity["seed"],
        "select_on": record["select_on"],
        "train_norm": identity["norm"],
        "train_eps": identity["eps"],
        "train_limit": identity["train_limit"],
        "train_seconds": record.get("seconds"),
        "train_forwards": record.get("forwards"),
        "train_backwards": record.get("backwards"),
        "train_peak_mb": record.get("peak_mb"),
        "device": environment["device"],
        "torch": environment["torch"],
        "cell": folder.path.name,
    }


def _extra(identity: Plain) -> Plain:
    """What is in the file that a setting names, if any."""
    return {"extra": identity["extra"]} if "extra" in identity else {}


def recipe_changes(shared: Plain, dataset: str) -> list[str]:
    """Where a grid's shared recipe departs from the data set's own, as ``--set`` takes it."""
    own = settings.plain(RECIPES[dataset]) if dataset in RECIPES else {}
    changed = {name: value for name, value in shared.items() if own.get(name) != value}
    return [
        f"{name}={settings.text(tuple(value) if isinstance(value, list) else value)}"
        for name, value in sorted(changed.items())
    ]


def without_outcome(cell: TrainedCell) -> Row:
    """A cell that has no weights to attack is one row that says why."""
    own = ("status", "reason", "key")
    return cell.columns | {"attack": WORST} | {name: cell.record[name] for name in own}


def results(cell: TrainedCell, evaluation: Plain) -> Iterator[Row]:
    """A row for each attack, and one for the worst case over all of them."""
    if evaluation["verdict"] == "none":
        return
    common = _of_evaluation(cell, evaluation)
    if evaluation["status"] != "ok":
        yield common | {"attack": WORST, "seconds": evaluation["seconds"]}
        return
    costs, probing = evaluation["costs"], evaluation.get("probing")
    for name in evaluation["order"][1:]:
        yield common | {"attack": name} | _accuracies(evaluation, name) | _cost(costs[name])
    last, audit = evaluation["order"][-1], evaluation["audit"] or {}
    own = {
        "n_carried": evaluation["carried"],
        "audited": audit.get("looked"),
        "audit_bound": audit.get("bound"),
        **{flag_column(name): f["status"] for name, f in evaluation["findings"].items()},
    }
    spent = _cost(*(costs[name] for name in evaluation["order"]), *([probing] if probing else []))
    yield common | {"attack": WORST} | _accuracies(evaluation, last) | spent | own


def _of_evaluation(cell: TrainedCell, evaluation: Plain) -> Row:
    """The columns that all rows of an evaluation share."""
    identity, environment = evaluation["identity"], evaluation["environment"]
    return cell.columns | {
        "checkpoint": identity["checkpoint"],
        "epoch": evaluation["epoch"],
        "suite": identity["suite"],
        "suite_key": suite_key(identity),
        "norm": identity["norm"],
        "eps": identity["eps"],
        "eps_value": float(parse_eps(identity["eps"], identity["norm"])),
        "sweep": " ".join(identity["sweep"]),
        "test_limit": identity["test_limit"],
        "verdict": evaluation["verdict"],
        "flags": " ".join(_flags_at(cell.record, evaluation)),
        "status": evaluation["status"],
        "reason": evaluation["reason"],
        "device": environment["device"],
        "torch": environment["torch"],
        "packages": identity["packages"],
        "key": evaluation["key"],
    }


def suite_key(identity: Plain) -> str:
    """Of what a suite is, by the identity of an evaluation."""
    return digest([identity[name] for name in _OF_SUITE])[:8]


def measures(cell: TrainedCell, evaluation: Plain) -> Iterator[Row]:
    """A row for each number that a suite measured; of one that failed, a row that says why."""
    common = _of_evaluation(cell, evaluation) | {"note": evaluation.get("note", "")}
    if evaluation["status"] != "ok":
        if evaluation["verdict"] == "none":
            yield common
        return
    found = evaluation.get("measures", {})
    # What all come to stands below them.
    for measure in sorted(found, key=lambda name: name == TOGETHER):
        for value in found[measure]["values"]:
            yield common | {"measure": measure} | value


def needs_outcomes(evaluation: Plain) -> bool:
    """Whether ``classes`` or ``curves`` look at every image of an evaluation."""
    if evaluation["status"] != "ok":
        return False
    return evaluation["verdict"] != "none" or bool(_named_curves(evaluation))


def curves(evaluation: Plain, outcomes: Outcomes, path: Path) -> Iterator[Row]:
    """A row for each point of a measure's curves."""
    arrays = outcomes.measured
    for (measure, curve), labels in _named_curves(evaluation).items():
        own = {"key": evaluation["key"], "measure": measure, "curve": curve}
        own |= {"x_label": labels["x"], "y_label": labels["y"]}
        x, y = (arrays.get(f"curve.{measure}.{curve}.{axis}") for axis in "xy")
        if x is None or y is None or len(x) != len(y):
            raise StoreError(f"{path.with_suffix('.npz')} does not hold the curve {curve!r}")
        yield from (own | {"x": float(a), "y": float(b)} for a, b in zip(x, y, strict=True))


def _named_curves(evaluation: Plain) -> dict[tuple[str, str], Plain]:
    return {
        (measure, curve): labels
        for measure, found in evaluation.get("measures", {}).items()
        for curve, labels in found["curves"].items()
    }


def _accuracies(evaluation: Plain, name: str) -> Row:
    """How many stand after an attack and all before it."""
    n, right, stands = evaluation["n"], evaluation["stands"]["natural"], evaluation["stands"][name]
    low, high = wilson(stands, n)
    return {
        "n": n,
        "n_right": right,
        "n_stands": stands,
        "natural_accuracy": right / n,
        "robust_accuracy": stands / n,
        "ci_low": low,
        "ci_high": high,
    }


def _cost(*spent: Plain) -> Row:
    """What was spent on several things together."""
    return {
        **{key: sum(cost[key] for cost in spent) for key in ("seconds", "forwards", "backwards")},
        "peak_mb": max(cost["peak_mb"] for cost in spent),
    }


def classes(cell: TrainedCell, evaluation: Plain, outcomes: Outcomes) -> Iterator[Row]:
    """Natural and worst-case accuracy of each class, from the outcome of every image."""
    if evaluation["verdict"] == "none":
        return
    identity = evaluation["identity"]
    own = {name: cell.columns[name] for name in OF_CELL}
    own |= {name: identity[name] for name in ("checkpoint", "suite", "norm", "eps")}
    labels, of = np.unique(outcomes.y, return_inverse=True)
    masks = [np.ones(len(of)), outcomes.stands["natural"], outcomes.worst]
    counts = [np.bincount(of, mask, len(labels)).astype(int).tolist() for mask in masks]
    for label, n, right, stands in zip(labels.tolist(), *counts, strict=True):
        yield own | {
            "class": label,
            "n": n,
            "n_right": right,
            "n_stands": stands,
            "key": evaluation["key"],
        }


def epochs(cell: TrainedCell) -> list[Row]:
    """The training curve, from the record, whose seal covers it, or else from train.csv.

    Raises:
        StoreError: train.csv is damaged.
    """
    own = {name: cell.columns[name] for name in (*OF_CELL, "cell")}
    path, lines = cell.folder.curve, cell.record.get("curve")
    if not (path.is_file() if lines is None else lines):
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if lines is None else lines
        columns = _columns_of(lines)
    except (ValueError, OSError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if "epoch" not in columns or own.keys() & columns.keys():
        raise StoreError(f"{path} is no training curve; not used")
    return [
        own | dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ]


def _columns_of(lines: list[str]) -> dict[str, list[Any]]:
    """The columns of a CSV file by name, numbers but for the stage; a row may end early."""
    header, *rows = [row for row in csv.reader(lines) if row] or [[]]
    if len({*header}) < len(header) or any(len(row) > len(header) for row in rows):
        raise ValueError("its rows do not have the columns of its first line")
    texts = zip(*(row + [""] * (len(header) - len(row)) for row in rows), strict=True)
    found = dict(zip(header, texts, strict=True)) if rows else dict.fromkeys(header, ())
    return {name: [*of] if name == "stage" else _numbers(name, of) for name, of in found.items()}


def _numbers(name: str, texts: Sequence[str]) -> list[float]:
    """Whole ones where all are; one that is not there is not a number."""
    if all(map(_WHOLE.fullmatch, texts)):
        return [int(text) for text in texts]
    if name in _COUNTED or any("_" in text for text in texts):
        raise ValueError(f"{name} holds what is no number, or not a whole one")
    return [float(text or "nan") for text in texts]


def flags(cell: TrainedCell) -> Iterator[Row]:
    """What went wrong in training, and when."""
    own = {name: cell.columns[name] for name in (*OF_CELL, "cell")}
    for trouble in cell.record.get("troubles", []):
        yield own | {"status": "up"} | trouble


def masking(cell: TrainedCell, evaluation: Plain) -> Iterator[Row]:
    """What every masking flag came to in an evaluation, with its evidence."""
    identity = evaluation["identity"]
    own = {name: cell.columns[name] for name in (*OF_CELL, "cell")}
    own |= {name: identity[name] for name in ("checkpoint", "suite", "norm", "eps")}
    for name, finding in evaluation.get("findings", {}).items():
        yield own | {"epoch": evaluation["epoch"], "flag": name, **finding}


def flag_column(name: str) -> str:
    """A masking flag's column in results.csv."""
    return f"flag_{name.replace('-', '_')}"


def _flags_at(record: Plain, evaluation: Plain) -> list[str]:
    """Flags of training that were up when the checkpoint was taken, and of masking."""
    troubles = [t for t in record.get("troubles", []) if t["epoch"] == evaluation["epoch"]]
    found = evaluation.get("findings", {}).items()
    return [t["flag"] for t in troubles] + [name for name, f in found if f["status"] == "up"]
