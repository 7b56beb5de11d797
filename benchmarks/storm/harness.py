"""robench in processes of its own, all in one folder, as somebody runs it who shares a folder."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MAIN = "from robench.cli.main import main; main()"

IMPATIENT = """
import robench.store.locks as locks

locks.LEASE, locks.BEAT = {lease}, {beat}
if {without_flock}:
    import errno
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    fcntl.flock = flock
"""
"""Every process of a storm begins with it: leases of seconds, and maybe no flock."""

LEASE = 6.0
"""Seconds, in a storm, after which a lease may be taken over."""


@dataclass
class Harness:
    """The processes that run a grid in one folder."""

    grid: Sequence[str]
    results: Path
    without_flock: bool = False
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def begin(self, *arguments: str) -> None:
        """One more process."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        habits = self.results.parent / "habits"
        habits.mkdir(exist_ok=True)
        text = IMPATIENT.format(lease=LEASE, beat=LEASE / 10, without_flock=self.without_flock)
        (habits / "sitecustomize.py").write_text(text)
        here = str(Path(__file__).parents[2])
        environment = os.environ | {"PYTHONPATH": f"{habits}:{here}"}
        with (self.results.parent / "said.txt").open("ab") as said:
            where = ("--results", str(self.results))
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *self.grid, *where, *arguments],
                stdout=said, stderr=said, env=environment, start_new_session=True,
            )  # fmt: skip
        self.running.append(process)

    def left(self) -> list[int]:
        """Exit codes of those that have ended; they are forgotten."""
        ended = [process for process in self.running if process.poll() is not None]
        self.running = [process for process in self.running if process not in ended]
        return [process.returncode for process in ended]

    def parents(self) -> list[int]:
        """Processes that hand out cells."""
        return [process.pid for process in self.running if process.poll() is None]

    def workers(self) -> list[int]:
        """Processes that work on a cell now: those that hold a cell's lease and are no parent."""
        found = {pid for pid in self.holders().values() if _is_ours(pid, self.results)}
        return sorted(found - set(self.parents()))

    def holders(self) -> dict[str, int]:
        """Who holds the lease of each cell: its process, which may be gone."""
        found = {}
        for lease in self.results.glob("cells/*/.lock.lease"):
            with suppress(OSError):
                if said := re.search(r"^pid=(\d+)$", lease.read_text(), re.MULTILINE):
                    found[lease.parent.name] = int(said[1])
        return found

    def end(self) -> None:
        """Kill whatever still runs, stopped or not."""
        for pid in (*self.workers(), *self.parents()):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for process in self.running:
            process.wait()
        self.running = []


def _is_ours(pid: int, results: Path) -> bool:
    """Whether a process writes its log into a folder."""
    try:
        return Path(f"/proc/{pid}/fd/1").readlink().is_relative_to(results)
    except OSError:
        return False
