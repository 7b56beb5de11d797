"""robench in a folder with plugins, as a process of its own where it is to be disturbed."""

import io
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pandas as pd
import pytest

from robench.cli.main import main
from robench.executors.slots import PRELOAD
from tests.cli import grids

QUICK = (*grids.QUICK, "--suite", "quick")
"""Two batches an epoch."""


@dataclass
class Begun:
    """A command in a process of its own."""

    process: ForkServerProcess
    said_to: Path

    def ask(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def ends(self, seconds: float) -> bool:
        """Whether it does, or has done, within so many seconds."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Exit code, and standard error with its lines unwrapped."""
        assert self.ends(seconds)
        return int(self.process.exitcode or 0), self.said_to.read_text(encoding="utf-8")


@dataclass
class Outside:
    """Commands of a test that run in a folder, all of them ended when it is over."""

    folder: Path
    begun: list[Begun] = field(default_factory=list)

    def begin(self, *arguments: str) -> Begun:
        """Like a worker, the process comes from a server that has imported torch."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        said_to = self.folder / f"said-{len(self.begun)}"
        process = context.Process(target=_main, args=(self.folder, said_to, arguments))
        process.start()
        self.begun.append(Begun(process, said_to))
        return self.begun[-1]

    def here(
        self, *arguments: str, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[int, str]:
        """The same by this process, which has imported torch, too, and has a server already.

        Another thread does what has to be done ``meanwhile``.
        """
        said = io.StringIO()
        quiet = redirect_stdout(io.StringIO()), redirect_stderr(said)
        disturbing = threading.Thread(target=meanwhile)
        with chdir(self.folder), quiet[0], quiet[1], _late_signals_ignored():
            disturbing.start()
            with pytest.raises(SystemExit) as end:
                main(arguments)
            disturbing.join()
        return int(end.value.code or 0), said.getvalue()

    def end(self) -> None:
        for one in self.begun:
            one.kill()

    def table(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "results" / "local" / "results.csv")

    def cells(self, start: str = "") -> list[Path]:
        return sorted((self.folder / "results" / "local" / "cells").glob(f"{start}*"))


def _main(folder: Path, said_to: Path, arguments: tuple[str, ...]) -> None:
    """As a shell would call it: in a folder, with nothing from the test's environment."""
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith("ROBENCH_")]:
        del os.environ[name]
    handle = os.open(said_to, os.O_WRONLY | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
    main(arguments)


@contextmanager
def _late_signals_ignored() -> Iterator[None]:
    """One that comes when robench has ended is not pytest's to obey."""
    asked = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda *_: None) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
