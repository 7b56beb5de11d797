"""A cell's folder: what is in it, and whether it can be trusted."""

from dataclasses import dataclass
from pathlib import Path

from robench.errors import StoreError
from robench.settings import Plain
from robench.store import shapes
from robench.store.cell import (
    ATTACKED,
    PROTOCOL,
    Cell,
    Evaluation,
    Kept,
    cell_name,
    evaluation_name,
)
from robench.store.files import checksum, digest, move_aside, read_json, write_json

SEAL = "seal"
"""Where a record keeps the digest of all else in it."""


@dataclass(frozen=True)
class CellFolder:
    """``results/.../cells/NAME``."""

    path: Path

    @property
    def record(self) -> Path:
        """What is known of the training; written last, so ``ok`` means that all is there."""
        return self.path / "cell.json"

    @property
    def curve(self) -> Path:
        """One row an epoch."""
        return self.path / "train.csv"

    @property
    def lock(self) -> Path:
        """Held while somebody works on the cell."""
        return self.path / ".lock"

    @property
    def events(self) -> Path:
        """What happened, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the cell's own process printed."""
        return self.path / "log.txt"

    @property
    def damaged(self) -> Path:
        """Where files are moved that cannot be trusted."""
        return self.path / "damaged"

    def weights(self, checkpoint: Kept) -> Path:
        """Weights of a checkpoint; their SHA-256 stands in a file beside them."""
        return self.path / f"{checkpoint}.safetensors"

    def copies(self, record: Plain) -> dict[Path, bytes]:
        """Small files that say again what the record of a training says, and what they must be."""
        found = {
            path.with_suffix(".safetensors.sha256"): f"{facts['sha256']}  {path.name}\n".encode()
            for name, facts in record["checkpoints"].items()
            for path in [self.weights(name)]
        }
        if "curve" in record:
            found[self.curve] = "".join(f"{line}\n" for line in record["curve"]).encode()
        return found

    def outcome(self, evaluation: Evaluation) -> Path:
        """What is known of an evaluation; the outcome of every image is in the .npz beside it."""
        return self.path / "eval" / f"{evaluation.name}.json"

    def evaluations(self) -> list[Path]:
        """Records of all evaluations."""
        return sorted((self.path / "eval").glob("*.json"))

    def has_weights(self, record: Plain) -> bool:
        """Whether both checkpoints are there, bit for bit as they were written."""
        return all(
            self.weights(name).is_file() and checksum(self.weights(name)) == facts["sha256"]
            for name, facts in record["checkpoints"].items()
        )


def cell_folder(results: Path, cell: Cell) -> CellFolder:
    """Where a cell lives below a results folder."""
    return CellFolder(results / "cells" / cell.name)


def cell_folders(results: Path) -> list[CellFolder]:
    """All cells below a results folder; one that is only locked, or logged, has not begun."""
    folders = (path for path in sorted((results / "cells").glob("*/")) if path.is_dir())
    return [CellFolder(path) for path in folders if any(map(_is_work, path.iterdir()))]


def _is_work(path: Path) -> bool:
    """Whether something in a cell's folder came of work on it."""
    return path.name[0] != "." and path.name not in ("log.txt", "events.jsonl", "damaged")


def set_aside(path: Path) -> Path:
    """Move a file of a cell that cannot be trusted to where nobody reads it; where it is now."""
    inside = path.parent.parent if path.parent.name == "eval" else path.parent
    return move_aside(path, CellFolder(inside).damaged)


def write_record(path: Path, record: Plain) -> None:
    """Write a cell's or an evaluation's record, sealed with a digest of all that it says."""
    said = {name: value for name, value in record.items() if name != SEAL}
    write_json(path, said | {SEAL: digest(said)})


def read_record(path: Path) -> Plain:
    """A cell's or an evaluation's record.

    Raises:
        StoreError: torn, changed, written under another protocol, not what its name says, or with
            something in it that no record of robench's holds.
    """
    record, of_cell = read_json(path), path.name == "cell.json"
    ours, was = PROTOCOL if of_cell else ATTACKED, record.get("protocol", "none")
    if was != ours:
        raise StoreError(f"{path} was written under protocol {was}, not {ours}; not used")
    if record.pop(SEAL, "") != digest(record):
        raise StoreError(f"{path} was changed after it was written; not used")
    if problem := shapes.problem(record, of_cell=of_cell):
        raise StoreError(f"{path} is not as it should be: {problem}; not used")
    key, identity = record["key"], record["identity"]
    names = (path.parent.name, cell_name) if of_cell else (path.stem, evaluation_name)
    if key != digest(identity) or names[0] != names[1](identity, key):
        raise StoreError(f"{path} belongs to another key; not used")
    return record


def check_weights(path: Path, sha256: str) -> None:
    """Raise when a weights file is not the one that was written."""
    if not path.is_file() or checksum(path) != sha256:
        raise StoreError(f"{path} is missing or damaged: its SHA-256 is not {sha256[:12]}...")
