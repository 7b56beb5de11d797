"""Files that are whole or not there: the only way robench writes results."""

import errno
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from robench.errors import StoreError, WriteError

WAITS = (0.1, 0.5, 2.0)
"""Seconds before a write is tried again that failed for a reason which may pass."""

_PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EINTR, errno.EIO, errno.ENOSPC, errno.ESTALE,
    errno.ETIMEDOUT,
}  # fmt: skip
"""A disk that is full for a moment, a network file system that is away for one."""

UNFINISHED = ".tmp"
"""How the names of files end that are being written."""

_DEEPEST = 50
"""Levels of lists and tables in a file; settings of settings take about ten."""


def write(path: Path, data: bytes) -> None:
    """Write beside, make it last, rename: a reader sees the old file or the new one.

    Raises:
        WriteError: the folder is read-only, full or gone, and was so again a little later.
    """
    waits = list(WAITS)
    while True:
        try:
            _write(path, data)
            return
        except OSError as error:
            if not waits or error.errno not in _PASSING:
                raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
            time.sleep(waits.pop(0))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(UNFINISHED, f".{path.name}.", path.parent)
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


def remove(path: Path) -> None:
    """Remove a file that nothing points to any more; that it cannot be is no harm."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def sweep(folder: Path) -> None:
    """Remove what a killed process was writing, below a folder that nobody else writes in now."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        remove(path)


def move_aside(path: Path, aside: Path) -> Path:
    """Move a file that cannot be trusted into a folder, under a name that is free there.

    Raises:
        WriteError: it cannot be moved.
    """
    try:
        aside.mkdir(parents=True, exist_ok=True)
        names = [aside / path.name] + [aside / f"{path.name}.{n}" for n in range(1, 1000)]
        free = next(name for name in names if not name.exists())
        return path.replace(free)
    except (OSError, StopIteration) as error:
        raise WriteError(f"cannot move {path} to {aside}: {error}") from error


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
    level = [content]
    for _ in range(levels):
        inside = (one.values() if isinstance(one, dict) else one for one in level if _holds(one))
        level = [value for values in inside for value in values]
    return any(map(_holds, level))


def _holds(content: object) -> TypeGuard[dict[str, object] | list[object]]:
    return isinstance(content, (dict, list))


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


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
