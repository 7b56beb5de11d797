"""Entries in the form of RobustBench's model_info: one JSON file for a model and a threat."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from robench.analysis.rows import TrainedCell, read_cell
from robench.errors import ConfigError, StoreError
from robench.evaluation.stored import is_of, read_evaluation
from robench.names import ADAPTIVE, in_a_file_name
from robench.printable import printable
from robench.settings import Plain
from robench.store.files import write_text
from robench.store.records import cell_folders

UNKNOWN = ("link", "authors", "venue")
"""What only whoever hands an entry in can know; they stay empty."""

FOLDER = "robustbench"

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Entries:
    """Everything of a results folder that can stand beside AutoAttack's numbers."""

    files: Mapping[Path, Entry]
    """By ``DATASET/NORM/NAME.json``."""
    problems: tuple[str, ...]
    """Files that cannot be trusted."""


def entries(results: Path) -> Entries:
    """An entry for every evaluation with a full verdict.

    Raises:
        ConfigError: there is none.
    """
    files: dict[Path, Entry] = {}
    problems: list[str] = []
    for folder in cell_folders(results):
        try:
            cell = read_cell(folder)
        except StoreError as error:
            problems.append(str(error))
            continue
        for evaluation in _full(cell, problems):
            files[_path(cell, evaluation)] = _entry(cell, evaluation)
    if not files:
        raise ConfigError(f"{results} holds no evaluation with a full verdict: AutoAttack's")
    return Entries(files, tuple(problems))


def export(results: Path, into: Path | None = None) -> tuple[Path, Entries]:
    """Write every entry as a file, into ``RESULTS/robustbench`` unless said; where, and what.

    Raises:
        ConfigError: there is none.
        StoreError: a link leads out of the folder, or it cannot be written.
    """
    found, place = entries(results), into or results / FOLDER
    home = place if into else results  # results may come from somebody else
    for path, entry in found.files.items():
        if not (place / path).resolve().is_relative_to(home.resolve()):
            raise StoreError(f"{place / path} leads out of {home}: nothing is written there")
        text = json.dumps(entry, indent=2, ensure_ascii=False)  # in the order of their fields
        write_text(place / path, f"{text}\n")
    return place, found


def _full(cell: TrainedCell, problems: list[str]) -> Iterator[Plain]:
    for path in cell.folder.evaluations() if cell.record["status"] == "ok" else []:
        try:
            evaluation = read_evaluation(path)
        except StoreError as error:
            problems.append(str(error))
            continue
        fine = evaluation["status"] == "ok" and evaluation["verdict"] == "full"
        if fine and is_of(evaluation, cell.record):
            yield evaluation


def _path(cell: TrainedCell, evaluation: Plain) -> Path:
    """As RobustBench's own; the name has what tells two of them apart, and ends with the key."""
    of, at = cell.record["identity"], evaluation["identity"]
    parts = (of["method"], of["model"], f"s{of['seed']}", at["checkpoint"], at["eps"])
    name = "_".join(map(in_a_file_name, (*parts, evaluation["key"][:8])))
    return Path(in_a_file_name(of["dataset"]), at["norm"], f"{name}.json")


def _entry(cell: TrainedCell, evaluation: Plain) -> Entry:
    of, at = cell.record["identity"], evaluation["identity"]
    stands, n = evaluation["stands"], evaluation["n"]
    worst = _per_cent(stands[evaluation["order"][-1]], n)
    passes = evaluation["costs"]["natural"]["forwards"] / n
    return {
        "link": "",
        "name": printable(cell.record["label"]),
        "authors": "",
        "additional_data": "extra" in of,
        "number_forward_passes": max(1, math.ceil(passes)),
        "dataset": of["dataset"],
        "venue": "",
        "architecture": of["model"],
        "eps": at["eps"] if at["norm"] == "Linf" else f"{float(Fraction(at['eps'])):g}",
        "clean_acc": _per_cent(stands["natural"], n),
        "reported": worst,
        "autoattack_acc": worst,
        "footnote": printable(" ".join(_footnote(cell, evaluation))),
        "unreliable": bool(_flags(evaluation)),
    }


def _per_cent(count: int, n: int) -> str:
    return f"{100 * count / n:.2f}"


def _footnote(cell: TrainedCell, evaluation: Plain) -> Iterator[str]:
    """What a reader of the numbers has to know."""
    of, at = cell.record["identity"], evaluation["identity"]
    yield f"Suite {at['suite']} of robench, {at['checkpoint']} checkpoint, seed {of['seed']}."
    if ADAPTIVE in evaluation["order"]:
        yield "Robust accuracy is also under the method's own adaptive attack."
    if (of["norm"], of["eps"]) != (at["norm"], at["eps"]):
        yield f"Trained for {of['norm']} {of['eps']}."
    if at["test_limit"] is not None:
        yield f"Attacked on {evaluation['n']:,} test images only, not the whole test set."
    if of["train_limit"] is not None:
        yield f"Trained on {of['train_limit']:,} images only."
    if control := cell.record.get("control", ""):
        yield f"A negative control, broken by {control}."
    if flags := _flags(evaluation):
        yield f"Signs of gradient masking: {', '.join(flags)}."


def _flags(evaluation: Plain) -> list[str]:
    return [name for name, found in evaluation["findings"].items() if found["status"] == "up"]
