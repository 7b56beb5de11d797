"""Tasks in processes of their own, so that a crash or a hang costs that task alone.

A slot is a place for one process: a core, or a device. Each has a pool of its own with one worker,
which is replaced after every task; workers fork from a server that has imported torch already.
"""

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

PRELOAD = ["robench.run", "torch._dynamo", "sklearn.datasets"]
"""What workers find imported: torch, and what else takes long."""

PAUSE = 0.1
"""Seconds between two looks at what has ended."""

GRACE = 3.0
"""Seconds for the result of a process that is gone to arrive."""


@dataclass(frozen=True)
class Task:
    """A call of a function that can be pickled by its name."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    after: str = ""
    """The name of the task that has to end before this one begins."""


@dataclass(frozen=True)
class Crash:
    """How a task ended that returned nothing."""

    reason: str


@dataclass
class _Running:
    task: Task
    future: "Future[Any]"
    pid_file: Path
    gone: float | None = None
    """When its process was first seen to be gone."""

    def pid(self) -> int | None:
        """Of its process, once it has begun."""
        with suppress(OSError, ValueError):
            return int(self.pid_file.read_text())
        return None

    def is_lost(self) -> bool:
        """Whether its process has left without a result, which pools do not see if it left well."""
        pid = self.pid()
        if pid is None or Path(f"/proc/{pid}").exists() or not Path("/proc").exists():
            return False
        self.gone = self.gone or time.monotonic()
        return time.monotonic() - self.gone > GRACE


class Slots:
    """As many processes at once as there are environments; seconds that each task may take."""

    def __init__(self, environments: Sequence[Mapping[str, str]], timeout: float | None) -> None:
        self._environments, self._timeout = environments, timeout
        self._running: dict[int, _Running] = {}
        self._asked = False

    def run(
        self, tasks: Sequence[Task], meanwhile: Callable[[Sequence[str]], bool]
    ) -> Iterator[tuple[Task, Any]]:
        """Each task with what it returned, or its crash, as they end.

        ``meanwhile`` is called all the time with the names of what runs. Once it says no, nothing
        is begun any more, and what runs is asked to end by SIGTERM.
        """
        waiting = list(tasks)
        with self._pools(len(tasks)) as pools, tempfile.TemporaryDirectory() as folder:
            while waiting or self._running:
                self._begin(waiting, pools, Path(folder))
                time.sleep(PAUSE)
                if not meanwhile([one.task.name for one in self._running.values()]):
                    waiting = []
                    self._ask_to_end()
                yield from self._ended()

    def kill(self) -> None:
        """End everything at once."""
        for process in multiprocessing.active_children():
            process.kill()

    def _begin(self, waiting: list[Task], pools: Sequence[ProcessPool], folder: Path) -> None:
        """Give every free slot the first task that may begin."""
        for slot in [slot for slot in range(len(pools)) if slot not in self._running]:
            running = {one.task.name for one in self._running.values()}
            unfinished = {task.name for task in waiting} | running
            ready = [task for task in waiting if task.after not in unfinished]
            if not ready:
                return
            task, pid_file = ready[0], folder / f"{len(waiting)}"
            waiting.remove(task)
            call = (str(pid_file), task.function, task.arguments)
            future = pools[slot].schedule(_called, args=call, timeout=self._timeout)
            self._running[slot] = _Running(task, future, pid_file)

    def _ended(self) -> Iterator[tuple[Task, Any]]:
        for slot, one in list(self._running.items()):
            if one.future.done():
                del self._running[slot]
                yield one.task, self._result(one.future)
            elif one.is_lost():
                del self._running[slot]
                one.future.cancel()
                yield one.task, Crash("its process left in the midst of it")

    def _result(self, future: "Future[Any]") -> Any:
        try:
            return future.result()
        except TimeoutError:
            return Crash(f"took longer than --cell-timeout, {(self._timeout or 0) / 60:g} minutes")
        except ProcessExpired as error:
            return Crash(how(error.exitcode))
        except BaseException as error:  # the task's own: it should have caught it
            return Crash(f"{type(error).__name__}: {error}")

    def _ask_to_end(self) -> None:
        if self._asked:
            return
        self._asked = True
        for one in self._running.values():
            pid = one.pid()
            if pid is None:  # not begun: nothing to save
                one.future.cancel()
                continue
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    @contextmanager
    def _pools(self, most: int) -> Iterator[list[ProcessPool]]:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        pools = [
            ProcessPool(1, 1, _furnish, (dict(environment),), context)
            for environment in self._environments[:most]
        ]
        try:
            yield pools
        finally:
            for pool in pools:
                pool.stop()
            for pool in pools:
                pool.join()


def _furnish(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)


def _called(pid_file: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    Path(pid_file).write_text(str(os.getpid()))
    return function(*arguments)


def how(code: int | None) -> str:
    """An exit code in words; negative ones are signals."""
    if code is None or code >= 0:
        return f"its process left with exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-code, f"signal {-code}")
    why = {
        "SIGKILL": ": somebody killed it, or the system ran out of memory",
        "SIGSEGV": ": a fault in native code",
        "SIGABRT": ": native code gave up",
        "SIGBUS": ": a fault in native code, or shared memory is full",
    }
    return f"its process was killed by {name}{why.get(name, '')}"
