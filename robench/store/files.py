"""Files that are whole or not there, and locks: the only way robench writes results."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from robench.errors import StoreError

_DEEPEST = 50
"""Levels of lists and tables in a file; settings of settings take about ten."""


def write(path: Path, data: bytes) -> None:
    """Write beside, make it last, rename: a reader sees the old file or the new one.

    Raises:
        StoreError: the folder is read-only, full or gone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).chmod(0o644)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write text, in which only a file's name can have what is no Unicode: that is escaped."""
    write(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, content: object) -> None:
    """Write JSON that a person can read."""
    write(path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; a torn or foreign file is an error that names it."""
    try:
        content = msgspec.json.decode(content_of(path))  # strict: no NaN, no half of a character
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} holds no JSON object")
    if is_deep(content):
        raise StoreError(f"{path} is nested over {_DEEPEST} levels deep; not used")
    return content


def content_of(path: Path) -> bytes:
    """A file's bytes; what cannot be read, or has no end, is an error that names it."""
    if not path.is_file():
        problem = "is no file" if path.exists() else "is not there"
        raise StoreError(f"{path} cannot be read: it {problem}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error


def is_deep(content: object, levels: int = _DEEPEST) -> bool:
    """Whether lists and tables are nested deeper than anything that robench writes."""
    if not isinstance(content, dict | list):
        return False
    inside = content.values() if isinstance(content, dict) else content
    return levels == 0 or any(is_deep(value, levels - 1) for value in inside)


def digest(content: object) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes; a file that cannot be read is an error that names it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file; yields False at once when somebody else holds it and ``wait`` is off.

    Raises:
        StoreError: the folder cannot be written to.
    """
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise StoreError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        yield True
    finally:
        lock.release()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
