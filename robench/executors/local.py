"""Cells in worker processes of this machine: a crash, a hang or a kill costs one cell alone.

Parent and workers share nothing but files. A worker plans the grid again and does one cell of it;
the parent reads what it says from the cell's log, and writes the record of a cell whose worker is
no more.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from robench import device as devices
from robench.errors import Stopped, WriteError
from robench.events import from_plain
from robench.executors.slots import Crash, Slots, Task
from robench.left import Rerun
from robench.plan import Job, plan
from robench.run import Crew, Done, Part, after_crash, work_on
from robench.store.grid import Request
from robench.store.log import read_log
from robench.store.records import CellFolder, cell_folder
from robench.watch import Watch, stoppable

TAIL = 40
"""Last lines of a log that a record keeps."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What all workers of a run are told: plain values go from process to process, nothing else."""

    request: Request
    results: Path
    rerun: Rerun
    device: str
    threads: int
    save_every: float
    run: str


@dataclass(frozen=True)
class _Stopped:
    """The worker was asked to stop, and has saved."""


def crew(order: Order, slots: Slots, watch: Watch) -> Crew:
    """A crew that works on as many cells at once as there are slots."""

    def work(jobs: Sequence[Job], part: Part) -> Iterator[tuple[Job, Done]]:
        by_key = {job.cell.key: job for job in jobs}
        ears = {job.cell.key: _Ear(cell_folder(order.results, job.cell), watch) for job in jobs}

        def meanwhile(running: Sequence[str]) -> bool:
            for key in running:
                ears[key].listen()
            return not watch.asked

        for task, came in slots.run([_task(order, job, part) for job in jobs], meanwhile):
            job = by_key[task.name]
            ears[task.name].listen()
            if isinstance(came, Crash) and not watch.asked:
                folder = cell_folder(order.results, job.cell)
                yield job, after_crash(job, folder, came.reason, _tail(folder.log), watch)
            elif isinstance(came, _Stopped) and not watch.asked:
                yield job, Done(reason=f"{job.cell.name}: its process was stopped, and has saved")
            elif isinstance(came, Done):
                yield job, came
        watch.check()

    return work


def environments(name: str, jobs: int) -> list[Mapping[str, str]]:
    """What each slot's processes find: a device of their own where there are several."""
    chosen = devices.choose(name)
    if chosen.type != "cuda" or chosen.index is not None:
        return [{}] * jobs
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(n) for n in range(torch.cuda.device_count())]
    return [{"CUDA_VISIBLE_DEVICES": names[slot % len(names)]} for slot in range(jobs)]


def _task(order: Order, job: Job, part: Part) -> Task:
    which = job.cell.key, job.cell.dataset, job.cell.name
    return Task(
        job.cell.key, labour, (order, *which, part), job.start.cell.key if job.start else ""
    )


def labour(order: Order, key: str, dataset: str, name: str, part: Part) -> Done | _Stopped:
    """What a worker does: one cell of the grid, then it ends."""
    watch = Watch(lambda event: None, order.save_every, order.run)
    _print_to(CellFolder(order.results / "cells" / name).log)
    with stoppable(watch, signal.SIGTERM):
        threading.Thread(target=_mind_parent, args=(watch,), daemon=True).start()
        torch.set_num_threads(order.threads)
        place = devices.choose(order.device)
        planned = plan(replace(order.request, datasets=(dataset,)), place)
        jobs = [job for job in planned.jobs if job.cell.key == key]
        if not jobs:
            return Done(reason=f"{name}: a plugin file has changed since the run began")
        try:
            return work_on(jobs[0], part, planned, order.results, order.rerun, watch)
        except Stopped:
            return _Stopped()


def _mind_parent(watch: Watch) -> None:
    """Stop as if asked to when the process that gave the order is no more."""
    parent = multiprocessing.parent_process()
    while parent is not None and parent.is_alive():
        time.sleep(1)
    watch.asked = watch.asked or signal.SIGTERM


def _print_to(log: Path) -> None:
    """Send all that this process prints to a file, the stacks of a fault in native code too."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise WriteError(f"cannot write {log}: {error.strerror}") from error
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
    print(f"-- {datetime.now(UTC).isoformat(timespec='seconds')}, process {os.getpid()}")
    faulthandler.enable(all_threads=False)


def _tail(log: Path) -> str:
    """The last lines of a log, of the present process only."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    begun = max((n for n, line in enumerate(lines) if line.startswith("-- ")), default=0)
    return "\n".join(lines[begun + 1 :][-TAIL:])


class _Ear:
    """Tells on what a worker writes into its cell's log."""

    def __init__(self, folder: CellFolder, watch: Watch) -> None:
        self._path, self._watch = folder.events, watch
        self._at = self._path.stat().st_size if self._path.exists() else 0

    def listen(self) -> None:
        """Tell what is new, if it is of this run."""
        lines, self._at = read_log(self._path, self._at)
        for line in lines:
            event = from_plain(line) if line.get("run") == self._watch.run else None
            if event is not None:
                self._watch.listener(event)
