"""What a job still needs, from what its cell's folder holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from robench.evaluation.examples import beside as images_of
from robench.evaluation.stored import is_of, trusted
from robench.plan import Job, Plan
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.records import CellFolder, cell_folder

Rerun = Literal["missing", "failed", "always"]


@dataclass(frozen=True)
class Left:
    """What a job still needs, and what of it failed before and is not tried again."""

    train: bool
    evaluations: list[Evaluation]
    failed: list[Evaluation] = field(default_factory=list)
    untrained: str = ""
    """``failed`` or ``diverged`` when it is the training that failed before."""


def left(job: Job, folder: CellFolder, rerun: Rerun) -> Left:
    """What is to be done for a job, from what its folder holds."""
    record, everything = trusted(folder.record), list(job.evaluations)
    if rerun == "always" or record is None or record["status"] == "running":
        return Left(True, everything)
    if record["status"] != "ok":
        again = rerun == "failed"
        return Left(True, everything) if again else Left(False, [], untrained=record["status"])
    missing = [e for e in everything if state_of(folder, e, record) == "missing"]
    failed = [e for e in everything if state_of(folder, e, record) == "failed"]
    todo, alone = (missing, failed) if rerun == "missing" else (missing + failed, [])
    return Left(bool(todo) and not folder.has_weights(record), todo, alone)


def state_of(
    folder: CellFolder, evaluation: Evaluation, cell: Plain
) -> Literal["ok", "failed", "missing"]:
    """What there is of an evaluation of the cell's present weights."""
    record = trusted(folder.outcome(evaluation))
    if record is None or record["status"] == "running" or not is_of(record, cell):
        return "missing"
    return "ok" if record["status"] == "ok" else "failed"


def unshown(plan: Plan, results: Path) -> int:
    """Evaluations that are there without the images that the plan asks for: done before, as a rule.

    What only measures has none.
    """
    paths = [
        cell_folder(results, job.cell).outcome(evaluation)
        for job in plan.jobs if plan.save_adversarial
        for evaluation in job.evaluations if not plan.suites[evaluation.suite].measures
    ]  # fmt: skip
    records = {path: trusted(path) for path in paths}
    return sum(
        not _shows(path, record, plan.save_adversarial)
        for path, record in records.items()
        if record is not None and record["status"] == "ok"
    )


def _shows(path: Path, record: Plain, first: int) -> bool:
    said = record.get("images") or {"first": 0}
    return said["first"] >= min(first, record["n"]) and images_of(path).is_file()
