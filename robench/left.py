"""What a job still needs, from what its cell's folder holds."""

from dataclasses import dataclass, field
from typing import Literal

from robench.evaluation.stored import is_of, trusted
from robench.plan import Job
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.records import CellFolder

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
