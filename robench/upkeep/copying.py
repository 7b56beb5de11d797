"""A cell of several results folders, written into one: whole files, under its lock."""

import hashlib
from pathlib import Path

from robench.errors import StoreError
from robench.evaluation.examples import beside as images_of
from robench.evaluation.stored import has_examples, is_of, trusted
from robench.settings import Plain
from robench.store.cell import KEPT
from robench.store.files import checksum, content_of, remove, sweep, write
from robench.store.locks import Lock
from robench.store.records import CellFolder, set_aside, write_record
from robench.upkeep.layers import Found, Placed

_BESIDE = ("train.csv", "log.txt", "events.jsonl")
"""What lies beside a cell's record and is not sealed by it."""


def put(cell: Placed, to: CellFolder, problems: list[str]) -> None:
    """Write a cell and its evaluations, where they are not there already.

    What is there of other weights goes: first evaluations, then weights, then the record, so that
    whatever moment it is interrupted at, the same is done when it is begun again.

    Raises:
        StoreError: somebody works on it, its record there cannot be trusted, or it cannot be
            written.
    """
    if any(path.is_symlink() for path in (to.path, to.path / "eval")):
        raise StoreError(f"{to.path} is or holds a link to a folder; left as it is")
    lock = Lock(to.lock)
    with lock.held() as mine:
        if not mine:
            raise StoreError(f"somebody works on {to.path}; left as it is")
        there, record = trusted(to.record), cell.cell.record
        if there is None and to.record.exists():
            raise StoreError(f"{to.record} cannot be trusted; {to.path} is left as it is")
        sweep(to.path)
        is_new = there is None or _sealed(there) != _sealed(record)
        lock.check(now=True)
        if record["status"] == "ok":
            if is_new:
                _empty(record, to)
            _weights(cell, to, problems)
        if is_new:
            _record(cell.cell, to)
        for evaluation in cell.evaluations.values():
            lock.check()
            _evaluation(evaluation, to.path / "eval" / evaluation.path.name, problems)


def _sealed(record: Plain) -> Plain:
    """What counts: how it ended, and its weights."""
    kept = record.get("checkpoints", {})
    return {"status": record["status"]} | {name: facts["sha256"] for name, facts in kept.items()}


def _empty(record: Plain, to: CellFolder) -> None:
    """Make place for a cell's record and weights: what is of others goes."""
    for path in to.evaluations():
        there = trusted(path)
        if there is not None and not is_of(there, record):
            _remove(path)
    for name in KEPT:
        path = to.weights(name)
        if path.is_file() and checksum(path) != record["checkpoints"][name]["sha256"]:
            remove(path)
            remove(path.with_suffix(".safetensors.sha256"))
    for state in to.path.glob("cell.state-*.pt"):
        remove(state)


def _remove(path: Path) -> None:
    """Remove an evaluation, the record first: what remains means nothing without it."""
    remove(path)
    remove(path.with_suffix(".npz"))
    remove(images_of(path))
    for state in path.parent.glob(f"{path.stem}.state-*.pt"):
        remove(state)


def _weights(cell: Placed, to: CellFolder, problems: list[str]) -> None:
    """Copy the weights from wherever they are whole; that nobody has them is no problem."""
    copies = to.copies(cell.cell.record)
    for name in KEPT:
        sha256, target = cell.cell.record["checkpoints"][name]["sha256"], to.weights(name)
        for path in (target, *(folder.weights(name) for folder in cell.folders)):
            if not path.is_file():
                continue
            if checksum(path) != sha256:
                problems.append(f"{path} is damaged; left out")
                continue
            if path != target:
                write(target, path.read_bytes())
            beside = target.with_suffix(".safetensors.sha256")
            write(beside, copies[beside])
            break


def _record(cell: Found, to: CellFolder) -> None:
    source = cell.path.parent
    for path in (source / name for name in _BESIDE):
        if path.is_file() and not path.is_symlink():  # whose content is not the source's to show
            write(to.path / path.name, content_of(path))
    if "curve" in cell.record:
        write(to.curve, "".join(f"{line}\n" for line in cell.record["curve"]).encode())
    _state(cell, to.path)
    write_record(to.record, cell.record)


def _evaluation(found: Found, to: Path, problems: list[str]) -> None:
    there = trusted(to)
    is_fine = found.record["status"] == "ok"
    if found.path == to or (there is not None and _ended(there) == _ended(found.record)):
        return
    if there is None and to.exists():
        set_aside(to)
    _remove(to)
    if is_fine:
        packed = content_of(found.path.with_suffix(".npz"))
        if hashlib.sha256(packed).hexdigest() != found.record["outcomes"]:
            problems.append(f"{found.path} changed while it was read; left out")
            return
        write(to.with_suffix(".npz"), packed)
        _images(found, to, problems)
    _state(found, to.parent)
    write_record(to, found.record)


def _images(found: Found, to: Path, problems: list[str]) -> None:
    """Copy what broke the first images, if it is there; without it every number stands."""
    images = images_of(found.path)
    if has_examples(found.path, found.record):
        write(images_of(to), content_of(images))
    elif images.is_file():
        problems.append(f"{images} is damaged; left out")


def _ended(record: Plain) -> tuple[str, str, str]:
    """How an evaluation ended, with which outcomes and images."""
    images = record.get("images") or {"sha256": ""}
    return record["status"], record.get("outcomes", ""), images["sha256"]


def _state(found: Found, to: Path) -> None:
    """What a failed training or evaluation can go on from, if it is whole."""
    if "saved" in found.record:
        saved = found.record["saved"]
        path = found.path.with_name(Path(saved["file"]).name)
        if path.is_file() and checksum(path) == saved["sha256"]:
            write(to / path.name, path.read_bytes())
