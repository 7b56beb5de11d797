"""Train what is missing, attack what is missing, gather the tables: read this file first.

A cell is done when its record says so, and every file appears whole, so starting again is running
again. One failed cell is a row with its reason; it stops no other, and no accuracy comes of it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from robench.analysis import rows, table
from robench.errors import StoreError
from robench.events import Finished, Started, Tell, Warned
from robench.plan import Job, Plan
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.files import locked, write_json
from robench.store.records import (
    CellFolder,
    cell_folder,
    read_evaluation,
    read_record,
    share_outcome,
)
from robench.work import about, describe, evaluate_cell, train_cell

Rerun = Literal["missing", "failed", "always"]
RERUNS: tuple[Rerun, ...] = get_args(Rerun)


def run(plan: Plan, results: Path, rerun: Rerun, tell: Tell) -> bool:
    """Run a plan in a results folder; whether everything it asks for is there and fine."""
    todo = [left(job, cell_folder(results, job.cell), rerun) for job in plan.jobs]
    trainings = sum(must_train for must_train, _ in todo)
    tell(Started(len(plan.jobs), trainings, sum(len(missing) for _, missing in todo)))
    fine, waiting = True, list(plan.jobs)
    try:
        for wait in (False, True):  # cells that another process works on come last
            busy = []
            for job in waiting:
                folder = cell_folder(results, job.cell)
                with locked(folder.lock, wait=wait) as mine:
                    if mine:
                        fine &= _run(job, plan, folder, rerun, tell)
                    else:
                        busy.append(job)
            if busy:
                tell(Warned(f"{len(busy)} cells are being worked on elsewhere; waiting for them"))
            waiting = busy
    finally:
        for problem in table.write_tables(results)[1]:
            tell(Warned(problem))
    return fine


def left(job: Job, folder: CellFolder, rerun: Rerun) -> tuple[bool, list[Evaluation]]:
    """Whether a job's cell has to be trained, and which of its evaluations have to be run."""
    record, everything = _trusted(folder.record), list(job.evaluations)
    if rerun == "always" or record is None or record["status"] == "running":
        return True, everything
    if record["status"] != "ok":
        return rerun == "failed", everything if rerun == "failed" else []
    missing = [e for e in everything if not _done(folder, e, record, fine=rerun == "failed")]
    return bool(missing) and not folder.has_weights(record), missing


def _run(job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, tell: Tell) -> bool:
    """One job, while its cell's lock is held."""
    data = plan.data[job.cell.dataset]
    before = _trusted(folder.record, tell)
    for evaluation in job.evaluations:
        _trusted(folder.outcome(evaluation), tell)
    must_train, missing = left(job, folder, rerun)
    if must_train:
        if before is not None and before["status"] == "ok" and rerun != "always":
            tell(Warned(f"weights in {folder.path} are missing or damaged; trained again"))
        train_cell(job, data, folder, tell)
        _, missing = left(job, folder, rerun)  # outcomes of other weights are no longer its own
    record = read_record(folder.record)
    if not about(job).items() <= record.items():  # it belongs to this grid from now on
        record |= about(job)
        write_json(folder.record, record)
    if record["status"] != "ok":
        if not must_train:
            tell(_left_alone(f"{job.cell.label} seed {job.cell.seed}", record))
        return False
    for evaluation in missing:
        best = replace(evaluation, checkpoint="best")
        shared = best != evaluation and best in job.evaluations
        if shared and share_outcome(folder, best, evaluation, record):
            label = describe(job, evaluation)
            tell(Finished(job.cell.name, label, "ok", "the same weights as best", 0.0))
        else:
            evaluate_cell(job, evaluation, plan.suites[evaluation.suite], data, folder, tell)
    bad = [e for e in job.evaluations if not _done(folder, e, record, fine=True)]
    for evaluation in bad:
        if evaluation not in missing:
            failed = read_record(folder.outcome(evaluation))
            tell(_left_alone(describe(job, evaluation), failed))
    return not bad


def _left_alone(label: str, record: Plain) -> Warned:
    """What failed in an earlier run and was not tried again."""
    again = "--rerun failed tries it again"
    return Warned(f"{label} {record['status']} before: {record['reason']}; {again}")


def _done(folder: CellFolder, evaluation: Evaluation, cell: Plain, *, fine: bool) -> bool:
    """Whether an evaluation of the cell's present weights is there, and (``fine``) did not fail."""
    record = _trusted(folder.outcome(evaluation))
    if record is None or record["weights"] != cell["checkpoints"][evaluation.checkpoint]["sha256"]:
        return False
    return record["status"] == "ok" or not fine


def _trusted(path: Path, tell: Tell | None = None) -> Plain | None:
    """A record, or none when it is not there or not to be trusted, which is said."""
    if not path.exists():
        return None
    try:
        if path.name == "cell.json":
            return read_record(path)
        record = read_evaluation(path)
        rows.agree(record, path)
        return record
    except StoreError as error:
        if tell is not None:
            tell(Warned(f"{error}; redone"))
        return None
