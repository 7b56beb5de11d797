"""What can happen to a run: one function a disturbance, each saying what it did."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.storm.harness import LEASE, Harness

SPARED = {".lock", ".lock.lease", "log.txt", "events.jsonl"}
"""Files whose damage proves nothing: they say how work went, not what came of it."""


@dataclass
class Storm:
    """A run under attack, and what was done to it."""

    harness: Harness
    chance: random.Random
    full: Path | None = None
    """A folder on the same small disk, if the results lie on one."""
    damaged: set[str] = field(default_factory=set)
    """Cells of which a file was changed: they may, and must, be computed again."""
    overtaken: set[str] = field(default_factory=set)
    """Cells whose lease may have been taken over from a process that was only stopped."""

    def kill_a_worker(self) -> bool:
        """SIGKILL, as the kernel does when memory runs out."""
        return self._send(self.harness.workers(), signal.SIGKILL)

    def kill_a_parent(self) -> bool:
        """SIGKILL of the process that was typed."""
        return self._send(self.harness.parents(), signal.SIGKILL)

    def end_a_worker(self) -> bool:
        """SIGTERM."""
        return self._send(self.harness.workers(), signal.SIGTERM)

    def end_a_parent(self) -> bool:
        """SIGTERM, as at the end of a time slot."""
        return self._send(self.harness.parents(), signal.SIGTERM)

    def interrupt_a_parent(self) -> bool:
        """Ctrl-C."""
        return self._send(self.harness.parents(), signal.SIGINT)

    def stop_a_worker(self) -> bool:
        """SIGSTOP until its lease has long run out, then SIGCONT."""
        workers = self.harness.workers()
        if not workers:
            return False
        pid = self.chance.choice(workers)
        if self.harness.without_flock:
            holders = self.harness.holders().items()
            self.overtaken |= {cell for cell, holder in holders if holder == pid}
        if not self._send([pid], signal.SIGSTOP):
            return False
        time.sleep(LEASE * self.chance.uniform(0.5, 2.5))
        return self._send([pid], signal.SIGCONT)

    def flip_a_bit(self) -> bool:
        """Of any file of a cell."""
        return self._damage(
            lambda data, at: data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        )

    def cut_a_file(self) -> bool:
        """At any place."""
        return self._damage(lambda data, at: data[:at])

    def fill_the_disk(self) -> bool:
        """For some seconds; where there is a small disk."""
        if self.full is None:
            return False
        filler = self.full / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(2**16))
                file.flush()
        time.sleep(self.chance.uniform(1, 8))
        filler.unlink()
        return True

    def _send(self, pids: list[int], number: signal.Signals) -> bool:
        if not pids:
            return False
        try:
            os.kill(self.chance.choice(pids), number)
        except ProcessLookupError:
            return False
        return True

    def _damage(self, change: Callable[[bytes, int], bytes]) -> bool:
        cells = self.harness.results / "cells"
        files = sorted(p for p in cells.rglob("*") if p.is_file() and p.name not in SPARED)
        files = [p for p in files if not p.name.endswith(".tmp") and "damaged" not in p.parts]
        if not files:
            return False
        path = self.chance.choice(files)
        self.damaged.add(path.relative_to(cells).parts[0])
        with suppress(OSError, IndexError):
            data = path.read_bytes()
            path.write_bytes(change(data, self.chance.randrange(len(data)))) if data else None
            return bool(data)
        return False


DISTURBANCES: dict[str, tuple[Callable[[Storm], bool], float]] = {
    "SIGKILL of a worker": (Storm.kill_a_worker, 6),
    "SIGKILL of a parent": (Storm.kill_a_parent, 3),
    "SIGTERM of a worker": (Storm.end_a_worker, 2),
    "SIGTERM of a parent": (Storm.end_a_parent, 2),
    "SIGINT of a parent": (Storm.interrupt_a_parent, 1),
    "SIGSTOP past the lease": (Storm.stop_a_worker, 1),
    "a bit flipped": (Storm.flip_a_bit, 2),
    "a file cut": (Storm.cut_a_file, 1),
    "disk full": (Storm.fill_the_disk, 1),
}
"""By name, with how often each happens."""


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A tmpfs of some megabytes at a folder; yields False where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        check=False, capture_output=True,
    ).returncode == 0  # fmt: skip
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
