"""Train what is missing, attack what is missing, gather the tables: read this file first.

A cell is done when its record says so, and every file appears whole, so starting again is running
again. One failed cell is a row with its reason; it stops no other, and no accuracy comes of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from robench.analysis import table
from robench.entries import about
from robench.errors import StoreError
from robench.evaluation.stored import is_of, read_any, share
from robench.events import Finished, Started, Tell, Warned
from robench.plan import Job, Plan
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.files import locked
from robench.store.records import CellFolder, cell_folder, read_record, write_record
from robench.work import describe, evaluate_cell, train_cell

Rerun = Literal["missing", "failed", "always"]
RERUNS: tuple[Rerun, ...] = get_args(Rerun)


def run(plan: Plan, results: Path, rerun: Rerun, tell: Tell) -> bool:
    """Run a plan in a results folder; whether everything it asks for is there and fine."""
    todo = [left(job, cell_folder(results, job.cell), rerun) for job in plan.jobs]
    evaluations = sum(len(job.evaluations) for job in todo)
    tell(Started(len(plan.jobs), sum(job.train for job in todo), evaluations))
    trained: set[str] = set()

    def whole(job: Job, folder: CellFolder) -> bool:
        for path in (folder.record, *map(folder.outcome, job.evaluations)):
            _trusted(path, tell)
        if left(job, folder, rerun).train:
            _train(job, plan, folder, rerun, tell, trained)
        return _attack(job, plan, folder, rerun, tell, trained=job.cell.key in trained)

    def weights(job: Job, folder: CellFolder) -> bool:
        _provide(job, plan, folder, rerun, tell, trained)
        return True

    try:
        _each(plan.sources, weights, results, tell)  # others craft on them, and they on each other
        return _each(plan.jobs, whole, results, tell)
    finally:
        for problem in table.write_tables(results)[1]:
            tell(Warned(problem))


def _each(
    jobs: Sequence[Job], do: Callable[[Job, CellFolder], bool], results: Path, tell: Tell
) -> bool:
    """Jobs in order, those that another process works on last; whether all of it is fine."""
    fine, waiting = True, list(jobs)
    for wait in (False, True):
        busy = []
        for job in waiting:
            folder = cell_folder(results, job.cell)
            with locked(folder.lock, wait=wait) as mine:
                if mine:
                    fine &= do(job, folder)
                else:
                    busy.append(job)
        if busy:
            tell(Warned(f"{len(busy)} cells are being worked on elsewhere; waiting for them"))
        waiting = busy
    return fine


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
    record, everything = _trusted(folder.record), list(job.evaluations)
    if rerun == "always" or record is None or record["status"] == "running":
        return Left(True, everything)
    if record["status"] != "ok":
        again = rerun == "failed"
        return Left(True, everything) if again else Left(False, [], untrained=record["status"])
    missing = [e for e in everything if _status(folder, e, record) == "missing"]
    failed = [e for e in everything if _status(folder, e, record) == "failed"]
    todo, alone = (missing, failed) if rerun == "missing" else (missing + failed, [])
    return Left(bool(todo) and not folder.has_weights(record), todo, alone)


def _provide(
    job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, tell: Tell, trained: set[str]
) -> None:
    """Train a cell whose weights others need, while its lock is held, if they are not there."""
    record = _trusted(folder.record)
    there = record is not None and record["status"] == "ok" and folder.has_weights(record)
    if left(job, folder, rerun).train or (record and record["status"] == "ok" and not there):
        _train(job, plan, folder, rerun, tell, trained)


def _train(
    job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, tell: Tell, trained: set[str]
) -> None:
    """Train a cell once in a run, while its lock is held, and first what it starts from."""
    before = _trusted(folder.record)
    if job.cell.key in trained:
        return
    if job.start is not None:
        source = CellFolder(folder.path.parent / job.start.cell.name)
        with locked(source.lock, wait=True):
            _provide(job.start, plan, source, rerun, tell, trained)
    if before is not None and before["status"] == "ok" and rerun != "always":
        tell(Warned(f"weights in {folder.path} are missing or damaged; trained again"))
    train_cell(job, plan.data[job.cell.dataset], folder, tell)
    trained.add(job.cell.key)


def _attack(
    job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, tell: Tell, *, trained: bool
) -> bool:
    """Attack what was trained now or before; whether all of the job is there and fine."""
    todo = left(job, folder, rerun)
    record = read_record(folder.record)
    if not about(job).items() <= record.items():  # it belongs to this grid from now on
        record |= about(job)
        write_record(folder.record, record)
    if record["status"] == "ok":
        for together in _together(job, todo.evaluations):
            _evaluate(job, together, plan, folder, tell)
    elif not trained:
        tell(_left_alone(f"{job.cell.label} seed {job.cell.seed}", record))
    for evaluation in todo.failed:
        tell(_left_alone(describe(job, evaluation), read_record(folder.outcome(evaluation))))
    if record["status"] != "ok":
        return False
    return all(_status(folder, evaluation, record) == "ok" for evaluation in job.evaluations)


def _together(job: Job, todo: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """What is attacked in one go: the radii of a sweep, of which one alone cannot be redone."""
    wanted = dict.fromkeys(_family(evaluation) for evaluation in todo)
    return [[e for e in job.evaluations if _family(e) == family] for family in wanted]


def _family(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.checkpoint, evaluation.suite, evaluation.sweep or evaluation.eps


def _evaluate(
    job: Job, together: Sequence[Evaluation], plan: Plan, folder: CellFolder, tell: Tell
) -> None:
    pairs = [(replace(evaluation, checkpoint="best"), evaluation) for evaluation in together]
    if all(
        best != last and best in job.evaluations and share(folder, best, last)
        for best, last in pairs
    ):
        for evaluation in together:
            label = describe(job, evaluation)
            tell(Finished(job.cell.name, label, "ok", "the same weights as best", 0.0))
    else:
        evaluate_cell(job, together, plan, folder, tell)


def _left_alone(label: str, record: Plain) -> Warned:
    """What failed in an earlier run and was not tried again."""
    again = "--rerun failed tries it again"
    return Warned(f"{label} {record['status']} before: {record['reason']}; {again}")


def _status(
    folder: CellFolder, evaluation: Evaluation, cell: Plain
) -> Literal["ok", "failed", "missing"]:
    """What there is of an evaluation of the cell's present weights."""
    record = _trusted(folder.outcome(evaluation))
    if record is None or not is_of(record, cell):
        return "missing"
    return "ok" if record["status"] == "ok" else "failed"


def _trusted(path: Path, tell: Tell | None = None) -> Plain | None:
    """A record, or none when it is not there or not to be trusted, which is said."""
    if not path.exists():
        return None
    try:
        return read_any(path)
    except StoreError as error:
        if tell is not None:
            tell(Warned(f"{error}; redone"))
        return None
