"""What is not there: failed, unfinished and missing cells, each with the command that fills it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.analysis.rows import TrainedCell, recipe_changes
from robench.settings import Plain
from robench.store.asked import grids

WAITING = "waiting"


@dataclass(frozen=True)
class Gap:
    """A training or an evaluation that gave no number."""

    what: str
    """The cell's folder, and the evaluation's name if the cell is trained."""
    status: str
    reason: str
    command: str
    """What does it, or does it again."""


def gaps(
    results: Path, cells: Sequence[TrainedCell], unfinished: Mapping[Path, Plain]
) -> list[Gap]:
    """Everything that a grid asked for, or that was begun, and is not there.

    ``unfinished``: evaluations of these cells that are not ok, by the path of their records.
    """
    asked_by, wanted = dict[str, Path](), dict[str, dict[str, None]]()
    for grid, names in grids(results)[0].items():
        for name, these in names.items():
            asked_by.setdefault(name, grid)
            wanted.setdefault(name, {}).update(dict.fromkeys(these))
    there = {cell.folder.path.name: cell for cell in cells}
    found = [
        _training(cell, results, asked_by.get(name))
        for name, cell in there.items()
        if cell.record["status"] != "ok"
    ]
    for path, evaluation in unfinished.items():
        name = path.parents[1].name
        found.append(_evaluation(there[name], path, evaluation, results, asked_by.get(name)))
    for name, evaluations in wanted.items():
        command = _grid(asked_by[name], results)
        cell = there.get(name)
        if cell is None:
            if not (results / "cells" / name / "cell.json").exists():
                found.append(Gap(name, WAITING, "not begun", command))
        elif cell.record["status"] == "ok":
            done = {path.stem for path in cell.folder.evaluations()}
            found += [
                Gap(f"{name}/{evaluation}", WAITING, "not attacked", command)
                for evaluation in evaluations
                if evaluation not in done
            ]
    return sorted(found, key=lambda gap: gap.what)


def _training(cell: TrainedCell, results: Path, grid: Path | None) -> Gap:
    status, reason = str(cell.record["status"]), str(cell.record["reason"])
    again = _grid(grid, results, status) if grid else _alone(cell.record, results)
    return Gap(cell.folder.path.name, status, reason, again)


def _evaluation(
    cell: TrainedCell, path: Path, record: Plain, results: Path, grid: Path | None
) -> Gap:
    status, reason = str(record["status"]), str(record["reason"])
    again = _grid(grid, results, status) if grid else _alone(cell.record, results, record)
    return Gap(f"{cell.folder.path.name}/{path.stem}", status, reason, again)


def _grid(grid: Path, results: Path, status: str = "") -> str:
    again = ["--rerun", "failed"] if status in ("failed", "diverged") else []
    return shlex.join(["robench", "run", "--config", str(grid), "--results", str(results), *again])


def _alone(record: Plain, results: Path, evaluation: Plain | None = None) -> str:
    """A grid of this cell alone, as it would be typed."""
    identity = record["identity"]
    options = {
        "-m": record["label"],
        "--dataset": identity["dataset"],
        "--model": identity["model"],
        "--seeds": identity["seed"],
        "--train-norm": identity["norm"],
        "--train-eps": identity["eps"],
        "--train-limit": identity["train_limit"],
    }
    if evaluation is not None:
        of = evaluation["identity"]
        options |= {"--suite": of["suite"], "--norm": of["norm"], "--eps": of["eps"]}
        options |= {"--checkpoints": of["checkpoint"], "--test-limit": of["test_limit"]}
    pairs = [[name, str(value)] for name, value in options.items() if value is not None]
    changes = recipe_changes(record["shared"], identity["dataset"])
    pairs += [["--set", f"recipe.{change}"] for change in changes]
    words = [word for pair in pairs for word in pair]
    return shlex.join(["robench", "run", *words, "--results", str(results), "--rerun", "failed"])
