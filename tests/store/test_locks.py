"""Locks: one holder at a time, leases that run out, and holders that learn of it."""

import errno
import multiprocessing
import os
import re
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from robench.errors import WriteError
from robench.store import locks
from robench.store.locks import Lock, heartbeat

CONTEXT = multiprocessing.get_context("spawn")


def no_flock(*_: object) -> None:
    raise OSError(errno.ENOSYS, "Function not implemented")


def hold(path: Path, held: Event, done: Event, lease: float, flock: bool) -> None:
    """Hold a lock in a process of its own, with leases of some seconds."""
    locks.LEASE, locks.BEAT = lease, lease / 10
    if not flock:
        import fcntl

        fcntl.flock = no_flock
    with Lock(path).held(wait=True):
        held.set()
        done.wait(60)


class Holder:
    """Somebody else who holds a lock."""

    def __init__(self, path: Path, lease: float = 120.0, *, flock: bool = True) -> None:
        self.held, self.done = CONTEXT.Event(), CONTEXT.Event()
        self.process = CONTEXT.Process(target=hold, args=(path, self.held, self.done, lease, flock))
        self.process.start()
        assert self.held.wait(60)
        assert self.process.pid is not None
        self.pid = self.process.pid

    def end(self) -> None:
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGKILL)
        self.process.join(30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cells" / "one" / ".lock"


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system that has none, and leases of two seconds."""
    monkeypatch.setattr("fcntl.flock", no_flock)
    monkeypatch.setattr(locks, "LEASE", 2.0)
    monkeypatch.setattr(locks, "BEAT", 0.2)


def test_a_lock_is_for_one_process_at_a_time(path: Path) -> None:
    other = Holder(path)
    with Lock(path).held() as mine:
        assert not mine
    assert not Lock(path).is_free()
    other.done.set()
    with Lock(path).held(wait=True) as mine:
        assert mine
    assert Lock(path).is_free()
    other.end()


def test_a_killed_holder_is_no_holder(path: Path) -> None:
    other = Holder(path)
    os.kill(other.pid, signal.SIGKILL)
    other.process.join(30)
    assert heartbeat(path) is not None  # its lease is still there
    with Lock(path).held() as mine:
        assert mine
    assert heartbeat(path) is None


@pytest.mark.usefixtures("without_flock")
def test_without_flock_the_lease_does(path: Path) -> None:
    other = Holder(path, 2.0, flock=False)
    lock, until = Lock(path), time.monotonic() + 3
    while time.monotonic() < until:  # as long as it beats, it holds
        assert not lock.is_free()
        time.sleep(0.2)
    os.kill(other.pid, signal.SIGKILL)
    other.process.join(30)
    with lock.held() as mine:
        assert mine
    other.end()


@pytest.mark.usefixtures("without_flock")
def test_a_lease_runs_out_while_its_process_is_stopped(path: Path) -> None:
    other = Holder(path, 2.0, flock=False)
    os.kill(other.pid, signal.SIGSTOP)
    lock, began = Lock(path), time.monotonic()
    assert not lock.is_free()
    while not lock.is_free():
        time.sleep(0.1)
        assert time.monotonic() - began < 20
    assert time.monotonic() - began > 1.5
    other.end()


def test_who_lost_a_lock_learns_of_it(path: Path) -> None:
    lock = Lock(path)
    with lock.held() as mine:
        assert mine
        lock.check(now=True)
        lease = path.with_name(".lock.lease")
        lease.write_text(re.sub("token=.*", f"token={32 * '0'}", lease.read_text()))
        lock.check()  # it has looked a moment ago
        with pytest.raises(WriteError, match="was lost"):
            lock.check(now=True)


def test_who_lost_the_folder_learns_of_it(path: Path) -> None:
    lock = Lock(path)
    with lock.held():
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
        with pytest.raises(WriteError, match="was lost"):
            lock.check(now=True)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match=r"cannot lock .*file"),
        Lock(tmp_path / "file/.lock").held(),
    ):
        pass


def test_nobody_holds_what_was_never_locked(path: Path) -> None:
    assert heartbeat(path) is None
