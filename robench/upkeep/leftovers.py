"""What can go from a cell's folder: failures, to be tried anew, and what nothing points to."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robench.errors import StoreError
from robench.evaluation.examples import SUFFIX
from robench.evaluation.examples import beside as images_of
from robench.evaluation.stored import is_of
from robench.settings import Plain
from robench.store.files import UNFINISHED
from robench.store.records import CellFolder, read_record

Kind = Literal["failed", "orphans"]

BAD = ("failed", "diverged")

_WRITTEN = (
    "cell.json", "train.csv", "log.txt", "events.jsonl", "*.safetensors", "*.safetensors.sha256",
    "cell.state-*.pt", "eval/*.json", "eval/*.npz", f"eval/*{SUFFIX}",
    "eval/*.state-*.pt",
)  # fmt: skip
"""What robench writes into a cell's folder; what somebody else put there is left alone."""


@dataclass(frozen=True)
class Leftover:
    """Files that go together."""

    why: str
    files: tuple[Path, ...]
    bytes: int
    """On disk, when it was found."""
    folder: Path | None
    """Goes, too, if nothing else is in it."""

    @property
    def path(self) -> Path:
        """What stands for all of it."""
        return self.folder or self.files[0]


def leftovers(cell: CellFolder, kind: Kind) -> list[Leftover]:
    """What can go from a cell's folder; a link to a folder is not followed.

    Raises:
        StoreError: its record cannot be trusted, so nobody knows what belongs to it.
    """
    if any(path.is_symlink() for path in (cell.path, cell.path / "eval", cell.damaged)):
        raise StoreError(f"{cell.path} is or holds a link to a folder; left as it is")
    if not cell.record.exists():
        found = iter(() if kind == "failed" else (_unrecorded(cell),))
    else:
        record = read_record(cell.record)
        found = _failed(cell, record) if kind == "failed" else _orphans(cell, record)
    return [leftover for leftover in found if leftover.files or leftover.folder]


def _leftover(why: str, files: tuple[Path, ...], folder: Path | None = None) -> Leftover:
    return Leftover(why, files, sum(path.lstat().st_size for path in files), folder)


def _unrecorded(cell: CellFolder) -> Leftover:
    """All of a folder in which no training was begun, or of which the record is gone."""
    work, rest = (*_written(cell),), (*_unfinished(cell), *_damaged(cell))
    is_work = any(path.name not in ("log.txt", "events.jsonl") for path in work)
    why = "no record of a training" if is_work else "only a lock or a log"
    known = {*work, *rest, *cell.path.glob(".lock*")}
    is_all = all(path.is_dir() or path in known for path in cell.path.rglob("*"))
    return _leftover(why, (*work, *rest), cell.path if is_all else None)


def _failed(cell: CellFolder, record: Plain) -> Iterator[Leftover]:
    if record["status"] in BAD:
        yield _leftover(f"{record['status']}: {record['reason']}", (*_written(cell),), cell.path)
        return
    for path in cell.evaluations():
        evaluation = _read(path)
        if evaluation is not None and evaluation["status"] in BAD:
            yield _leftover(f"{evaluation['status']}: {evaluation['reason']}", _of(path))


def _orphans(cell: CellFolder, record: Plain) -> Iterator[Leftover]:
    if cell.damaged.is_dir():
        yield _leftover("damaged files", (*_damaged(cell),), cell.damaged)
    for path in _unfinished(cell):
        yield _leftover("never finished", (path,))
    yield from _states(cell.record, record)
    records = {path.stem: path for path in cell.evaluations()}
    for path in records.values():
        evaluation = _read(path)
        if evaluation is None:
            continue
        if evaluation["status"] == "ok" and not path.with_suffix(".npz").is_file():
            yield _leftover("a record without its outcomes", _of(path))
        elif record["status"] == "ok" and not is_of(evaluation, record):
            yield _leftover("of weights that the cell no longer has", _of(path))
        else:
            yield from _states(path, evaluation)
    for path in sorted((cell.path / "eval").glob("*.npz")):
        if path.stem not in records:
            yield _leftover("outcomes without a record", (path,))
    for path in sorted((cell.path / "eval").glob(f"*{SUFFIX}")):
        if path.name.removesuffix(SUFFIX) not in records:
            yield _leftover("images without a record", (path,))
    for path in sorted((cell.path / "eval").glob("*.state-*.pt")):
        if path.name.rpartition(".state-")[0] not in records:
            yield _leftover("a state without a record", (path,))


def _read(path: Path) -> Plain | None:
    """An evaluation's record; one that is damaged is for the next run to move aside."""
    try:
        return read_record(path)
    except StoreError:
        return None


def _of(record: Path) -> tuple[Path, ...]:
    """An evaluation's record, its outcomes and images, and what it was to go on from."""
    beside = [record.with_suffix(".npz"), images_of(record)]
    beside += record.parent.glob(f"{record.stem}.state-*.pt")
    return (record, *(path for path in beside if path.is_file()))


def _states(path: Path, record: Plain) -> Iterator[Leftover]:
    """States of a record that it does not go on from."""
    kept = record.get("saved", {}).get("file")
    for state in sorted(path.parent.glob(f"{path.stem}.state-*.pt")):
        if state.name != kept:
            yield _leftover("a state that nothing goes on from", (state,))


def _written(cell: CellFolder) -> Iterator[Path]:
    for pattern in _WRITTEN:
        yield from (path for path in sorted(cell.path.glob(pattern)) if path.is_file())


def _damaged(cell: CellFolder) -> Iterator[Path]:
    yield from (path for path in sorted(cell.damaged.rglob("*")) if not path.is_dir())


def _unfinished(cell: CellFolder) -> Iterator[Path]:
    for folder in (cell.path, cell.path / "eval"):
        yield from sorted(folder.glob(f".*{UNFINISHED}"))
