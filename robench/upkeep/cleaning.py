"""What can go from a results folder, and how it goes: never from a cell that somebody works on."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from robench.analysis import table
from robench.errors import ConfigError, StoreError, WriteError
from robench.store.files import UNFINISHED
from robench.store.locks import LEASE, Lock, heartbeat
from robench.store.records import CellFolder
from robench.upkeep.leftovers import Kind, Leftover, leftovers


@dataclass
class Cleaning:
    """What was found, or has gone."""

    found: list[Leftover] = field(default_factory=list)
    busy: list[Path] = field(default_factory=list)
    """Cells that somebody works on, left as they are."""
    problems: list[str] = field(default_factory=list)
    """What cannot be read or removed."""

    @property
    def bytes(self) -> int:
        """On disk."""
        return sum(one.bytes for one in self.found)


def look(results: Path, kind: Kind) -> Cleaning:
    """Look for what can go; changes nothing.

    Raises:
        ConfigError: there are no results.
    """
    return _each(results, kind, lambda cell: leftovers(cell, kind), lambda one: None)


def clean(results: Path, kind: Kind) -> Cleaning:
    """Remove what can go, each cell's under its lock, and rebuild the tables.

    Raises:
        ConfigError: there are no results.
        WriteError: the tables cannot be written.
    """
    done = _each(results, kind, lambda cell: _clean(cell, kind), _remove)
    if done.found:
        table.write_tables(results)
    return done


def _each(
    results: Path,
    kind: Kind,
    in_cell: Callable[[CellFolder], list[Leftover]],
    beside: Callable[[Leftover], None],
) -> Cleaning:
    done = Cleaning()
    for cell in _cells(results):
        silent = heartbeat(cell.lock)
        try:
            if silent is not None and silent <= LEASE:
                raise _Busy
            if leftovers(cell, kind):
                done.found += in_cell(cell)
        except _Busy:
            done.busy.append(cell.path)
        except StoreError as error:
            done.problems.append(str(error))
    for one in _beside(results) if kind == "orphans" else []:
        beside(one)
        done.found.append(one)
    return done


class _Busy(Exception):  # noqa: N818 - nothing erred
    """Somebody works on a cell."""


def _cells(results: Path) -> Iterator[CellFolder]:
    """Every folder of a cell, begun or not."""
    if not (results / "cells").is_dir():
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    paths = (path for path in sorted((results / "cells").glob("*/")) if path.is_dir())
    return (CellFolder(path) for path in paths)


def _clean(cell: CellFolder, kind: Kind) -> list[Leftover]:
    """Remove what can go from a cell, as it is when its lock is held."""
    with Lock(cell.lock).held() as mine:
        if not mine:
            raise _Busy
        found = leftovers(cell, kind)
        for one in found:
            _remove(one)
        is_whole = any(one.folder == cell.path for one in found)
        if is_whole:  # whoever waits for this lock sees that its file is gone, and makes another
            cell.lock.unlink(missing_ok=True)
    if is_whole:
        _remove_folders(cell.path)
    return found


def _remove(one: Leftover) -> None:
    try:
        for path in one.files:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"cannot remove {path}: {error.strerror or error}") from error
    if one.folder is not None:
        _remove_folders(one.folder)


def _remove_folders(path: Path) -> None:
    """Remove a folder and those that robench makes in it, if they are empty."""
    for folder in (path / "eval", path / "damaged", path):
        with suppress(OSError):
            folder.rmdir()


def _beside(results: Path) -> list[Leftover]:
    """Unfinished files beside the cells, where no lock says that nobody is writing them."""
    paths = [p for f in (results, results / "grids") for p in sorted(f.glob(f".*{UNFINISHED}"))]
    old = [path for path in paths if time.time() - path.lstat().st_mtime > LEASE]
    return [Leftover("never finished", (path,), path.lstat().st_size, None) for path in old]
