"""Locks between processes and machines that share a results folder.

A lock is two things. ``flock`` is exact on a local disk: the kernel gives it up with the process.
On network file systems it may be missing, or hold on one machine only, so there is a lease as well:
a file with host, process and a heartbeat, which others may take over once it has not been renewed
for a while, or at once when its process on their own machine is gone. What is written under a lock
is the same whoever writes it, so a lock that fails costs double work, never a wrong number.
"""

import errno
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import (
    BaseFileLock,
    FileLock,
    LeaseSettingsMismatch,
    SoftFileLease,
    Timeout,
)

from robench.errors import WriteError

LEASE = 120.0
"""Seconds without a heartbeat after which a lease may be taken over; the same for all."""

BEAT = 15.0
"""Seconds from one heartbeat to the next."""

_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class Lock:
    """A lock file and its lease; keep the object while you try: a stale lease is one seen to be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._looked = 0.0
        self._flock = FileLock(path, timeout=0, fallback_to_soft=False)
        self._lease = SoftFileLease(
            _lease_of(path),
            lease_duration=LEASE,
            heartbeat_interval=min(BEAT, LEASE / 3),
            timeout=0,
        )

    @contextmanager
    def held(self, *, wait: bool = False) -> Iterator[bool]:
        """Hold it; yields False at once when somebody else does and ``wait`` is off.

        Raises:
            WriteError: the folder cannot be written to.
        """
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                mine = self._flocked(stack, wait) and _acquired(self._lease, stack, wait)
            except (OSError, LeaseSettingsMismatch) as error:
                why = getattr(error, "strerror", None) or error
                raise WriteError(f"cannot lock {self.path}: {why}") from error
            yield mine

    def check(self, *, now: bool = False) -> None:
        """Raise when a lock that was held has become somebody else's; looks once a second, or now.

        A process that was stopped for longer than a lease lasts finds it taken over; in a folder
        that was removed it finds none.
        """
        if not now and time.monotonic() - self._looked < 1:
            return
        self._looked, token = time.monotonic(), self._lease.token
        try:
            mine = token is not None and token in _lease_of(self.path).read_text(errors="replace")
        except OSError:
            mine = False
        if not mine:
            raise WriteError(f"the lock {self.path} was lost; left to whoever has it now")

    def is_free(self) -> bool:
        """Whether nobody holds it at this moment."""
        with self.held() as mine:
            return mine

    def _flocked(self, stack: ExitStack, wait: bool) -> bool:
        """Where the file system has flock; elsewhere the lease has to do."""
        try:
            return _acquired(self._flock, stack, wait)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
            return True


def heartbeat(path: Path) -> float | None:
    """Seconds since whoever holds a lock gave a sign of life; none: nobody holds it."""
    try:
        return max(0.0, time.time() - _lease_of(path).stat().st_mtime)
    except OSError:
        return None


def _lease_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lease")


def _acquired(lock: BaseFileLock, stack: ExitStack, wait: bool) -> bool:
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return False
    stack.callback(lock.release)
    return True
