"""Train what is missing, attack what is missing, gather the tables: read this file first.

A cell is done when its record says so, and every file appears whole, so starting again is running
again. One failed cell is a row with its reason; it stops no other, and no accuracy comes of it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from robench import mending
from robench.analysis import table
from robench.entries import about
from robench.errors import StoreError
from robench.evaluation.stored import is_of, share, trusted
from robench.events import Finished, Started, Warned
from robench.left import Rerun, left, state_of, unshown
from robench.plan import Job, Plan
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.files import sweep
from robench.store.locks import Lock
from robench.store.log import log_to
from robench.store.records import CellFolder, cell_folder, read_record, write_record
from robench.watch import Watch
from robench.work import crashed, describe, evaluate_cell, train_cell

Part = Literal["weights", "whole"]
"""What is done for a job: only what others need of it, or all."""


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    fine: bool = False
    """Everything that it asks for is there."""
    busy: Path | None = None
    """The lock that somebody else holds; then nothing was done."""
    reason: str = ""
    """Why it was left as it is."""


Crew = Callable[[Sequence[Job], Part], Iterable[tuple[Job, Done]]]
"""Works on jobs, one after the other or several at once, and says of each what came of it.

It raises ``Stopped`` when it was asked to stop before it has spoken of all.
"""


def run(plan: Plan, results: Path, rerun: Rerun, watch: Watch, crew: Crew | None = None) -> bool:
    """Run a plan in a results folder; whether everything it asks for is there and fine."""
    crew = crew or (lambda jobs, part: here(jobs, part, plan, results, rerun, watch))
    todo = [left(job, cell_folder(results, job.cell), rerun) for job in plan.jobs]
    evaluations = sum(len(job.evaluations) for job in todo)
    watch.tell(Started(len(plan.jobs), sum(job.train for job in todo), evaluations))
    try:
        _each(plan.sources, "weights", crew, watch)  # others craft on them, they on each other
        fine = _each(plan.jobs, "whole", crew, watch)
        fine &= _each(_outdated(plan, results, watch), "whole", crew, watch)
        if without := unshown(plan, results):
            watch.tell(_without_images(without, plan.save_adversarial))
        return fine
    finally:
        for problem in table.write_tables(results).problems:
            watch.tell(Warned(problem))


def here(
    jobs: Sequence[Job], part: Part, plan: Plan, results: Path, rerun: Rerun, watch: Watch
) -> Iterator[tuple[Job, Done]]:
    """A crew of one: this process."""
    for job in jobs:
        watch.check()
        yield job, work_on(job, part, plan, results, rerun, watch)


def _each(jobs: Sequence[Job], part: Part, crew: Crew, watch: Watch) -> bool:
    """All jobs, those that another process works on when it is done; whether all of it is fine."""
    fine, waiting, said = True, list(jobs), False
    locks: dict[Path, Lock] = {}
    while waiting:
        busy: dict[str, Path] = {}
        for job, done in crew(waiting, part):
            if done.reason:
                watch.tell(Warned(done.reason))
            if done.busy is None:
                fine &= done.fine
            else:
                busy[job.cell.key] = done.busy
        waiting = [job for job in waiting if job.cell.key in busy]
        if waiting and not said:
            said = True
            watch.tell(Warned(f"{len(busy)} cells are worked on elsewhere; waiting for them"))
        while waiting and not any(_free(path, locks) for path in busy.values()):
            watch.check()
            time.sleep(0.5)
    return fine


def _outdated(plan: Plan, results: Path, watch: Watch) -> list[Job]:
    """Jobs that were attacked before this run trained their cell again for one that starts there.

    Training the same cell gives the same bits on the same kind of machine only.
    """

    def outdated(job: Job) -> bool:
        folder = cell_folder(results, job.cell)
        record = trusted(folder.record)
        if record is None or record["status"] != "ok" or record.get("run") != watch.run:
            return False
        there = filter(None, (trusted(folder.outcome(e)) for e in job.evaluations))
        return any(not is_of(evaluation, record) for evaluation in there)

    return [job for job in plan.jobs if outdated(job)]


def _free(path: Path, locks: dict[Path, Lock]) -> bool:
    """Whether a lock is free now: one object is asked, and sees how long a lease has been stale."""
    return locks.setdefault(path, Lock(path)).is_free()


def work_on(job: Job, part: Part, plan: Plan, results: Path, rerun: Rerun, watch: Watch) -> Done:
    """One job, if nobody else is at it; a full disk or a damaged file ends no other job.

    Raises:
        Stopped: on request, when what there was is saved.
    """
    folder = cell_folder(results, job.cell)
    try:
        with _mine(folder, watch):
            if part == "weights":
                _provide(job, plan, folder, rerun, watch)
                return Done(fine=True)
            return Done(fine=_whole(job, plan, folder, rerun, watch))
    except _Busy as elsewhere:
        return Done(busy=elsewhere.lock)
    except StoreError as error:
        return Done(reason=f"{job.cell.label} seed {job.cell.seed} is left as it is: {error}")


def after_crash(job: Job, folder: CellFolder, reason: str, tail: str, watch: Watch) -> Done:
    """Record how the process ended that was at a job; its cell alone pays for it."""
    try:
        with _mine(folder, watch):
            crashed(job, folder, reason, tail, watch)
        return Done()
    except _Busy as elsewhere:  # it is not gone after all
        return Done(busy=elsewhere.lock)
    except StoreError as error:
        return Done(reason=f"{job.cell.label} seed {job.cell.seed}: {reason}; {error}")


class _Busy(Exception):  # noqa: N818 - nothing erred
    """Somebody else holds a lock that is needed."""

    def __init__(self, lock: Path) -> None:
        super().__init__(str(lock))
        self.lock = lock


@contextmanager
def _mine(folder: CellFolder, watch: Watch) -> Iterator[None]:
    """Hold a cell's lock, and log its events; what a killed process was writing there is swept."""
    lock = Lock(folder.lock)
    with lock.held() as mine:
        if not mine:
            raise _Busy(folder.lock)
        sweep(folder.path)
        with watch.over(log_to(folder.events, watch.run), lock.check):
            yield


def _whole(job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, watch: Watch) -> bool:
    for path in (folder.record, *map(folder.outcome, job.evaluations)):
        mending.check(path, watch)
    for path in map(folder.outcome, job.evaluations):
        mending.check_images(path, watch)
    mending.mend(folder, watch)
    if left(job, folder, rerun).train or mending.damaged(folder):
        _train(job, plan, folder, rerun, watch)
    return _attack(job, plan, folder, rerun, watch)


def _provide(job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, watch: Watch) -> None:
    """Train a cell whose weights others need, while its lock is held, if they are not there."""
    record = trusted(folder.record)
    there = record is not None and record["status"] == "ok" and folder.has_weights(record)
    if left(job, folder, rerun).train or (record and record["status"] == "ok" and not there):
        _train(job, plan, folder, rerun, watch)


def _train(job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, watch: Watch) -> None:
    """Train a cell once in a run, while its lock is held, and first what it starts from."""
    before = trusted(folder.record)
    if before is not None and before.get("run") == watch.run and before["status"] != "running":
        return
    if job.start is not None:
        source = CellFolder(folder.path.parent / job.start.cell.name)
        with _mine(source, watch):
            _provide(job.start, plan, source, rerun, watch)
    if before is not None and before["status"] == "ok" and rerun != "always":
        mending.name_damaged(folder, watch)
    train_cell(job, plan.data[job.cell.dataset], folder, watch, _again(before, rerun))


def _again(before: Plain | None, rerun: Rerun) -> Plain | None:
    """The record of what did not end well, to go on from what it saved."""
    return None if before is None or before["status"] == "ok" or rerun == "always" else before


def _attack(job: Job, plan: Plan, folder: CellFolder, rerun: Rerun, watch: Watch) -> bool:
    """Attack what was trained now or before; whether all of the job is there and fine."""
    todo = left(job, folder, rerun)
    record = read_record(folder.record)
    if not about(job).items() <= record.items():  # it belongs to this grid from now on
        record |= about(job)
        write_record(folder.record, record)
    if record["status"] == "ok":
        for together in _together(job, todo.evaluations):
            watch.check()
            _evaluate(job, together, plan, folder, rerun, watch)
    elif record.get("run") != watch.run:
        watch.tell(_left_alone(f"{job.cell.label} seed {job.cell.seed}", record))
    for evaluation in todo.failed:
        watch.tell(_left_alone(describe(job, evaluation), read_record(folder.outcome(evaluation))))
    if record["status"] != "ok":
        return False
    return all(state_of(folder, evaluation, record) == "ok" for evaluation in job.evaluations)


def _together(job: Job, todo: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """What is attacked in one go: the radii of a sweep, of which one alone cannot be redone."""
    wanted = dict.fromkeys(_family(evaluation) for evaluation in todo)
    return [[e for e in job.evaluations if _family(e) == family] for family in wanted]


def _family(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.checkpoint, evaluation.suite, evaluation.sweep or evaluation.eps


def _evaluate(
    job: Job, together: Sequence[Evaluation], plan: Plan, folder: CellFolder, rerun: Rerun,
    watch: Watch,
) -> None:  # fmt: skip
    pairs = [(replace(evaluation, checkpoint="best"), evaluation) for evaluation in together]
    if all(
        best != last and best in job.evaluations and share(folder, best, last)
        for best, last in pairs
    ):
        for evaluation in together:
            label = describe(job, evaluation)
            watch.tell(Finished(job.cell.name, label, "ok", "the same weights as best", 0.0))
        return
    first = min(together, key=lambda evaluation: evaluation.eps)
    before, cell = trusted(folder.outcome(first)), read_record(folder.record)
    if before is not None and not is_of(before, cell):
        before = None
    evaluate_cell(job, together, plan, folder, watch, _again(before, rerun))


def _without_images(count: int, first: int) -> Warned:
    """What was done before keeps its outcomes, and can show nothing new."""
    which = f"{count} evaluation{'s' * (count > 1)} done before"
    return Warned(f"{which} saved no images, or fewer than {first}; --rerun always makes them")


def _left_alone(label: str, record: Plain) -> Warned:
    """What failed in an earlier run and was not tried again."""
    again = "--rerun failed tries it again"
    return Warned(f"{label} {record['status']} before: {record['reason']}; {again}")
