"""What a storm has left, against the same grid in calm: nothing lost, torn, other or double."""

import hashlib
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from robench.errors import StoreError
from robench.evaluation.outcomes import unpack
from robench.evaluation.stored import read_any
from robench.store.log import read_log
from robench.store.records import CellFolder, cell_folders

PASSING = {
    "seconds", "peak_mb", "started", "environment", "run", "seal", "outcomes", "copied_from",
    "curve",
}  # fmt: skip
"""What a record says of how it was made, and not of what was found."""

UNLIKE = ["seconds", "train_seconds", "peak_mb", "train_peak_mb"]
"""Columns of results.csv that differ from run to run."""


@dataclass
class Verdict:
    """Names of what went wrong, by kind."""

    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """For the table."""
        return {
            "cells lost": len(self.lost),
            "files torn": len(self.torn),
            "bits different": len(self.different),
            "computed twice": len(self.twice),
        }


def compare(calm: Path, stormy: Path, excused: Set[str]) -> Verdict:
    """A results folder against the undisturbed one; cells that were damaged may be done again."""
    found = Verdict()
    for folder in cell_folders(calm):
        other = CellFolder(stormy / "cells" / folder.path.name)
        _compare_cell(folder, other, found)
        if folder.path.name not in excused:
            found.twice += list(_double(other))
    left = [path for end in ("*.tmp", "*.pt") for path in stormy.rglob(end)]
    found.torn += [str(path) for path in left if "damaged" not in path.parts]
    ours, theirs = (
        pd.read_csv(path / "results.csv").drop(columns=UNLIKE) for path in (calm, stormy)
    )
    if not ours.equals(theirs):
        found.different.append("results.csv")
    return found


def _compare_cell(calm: CellFolder, stormy: CellFolder, found: Verdict) -> None:
    for path in (calm.record, *calm.evaluations()):
        other = stormy.path / path.relative_to(calm.path)
        name = str(other.relative_to(stormy.path.parent))
        if not other.is_file():
            found.lost.append(name)
            continue
        try:
            record = read_any(other)
        except StoreError as error:
            found.torn.append(str(error))
            continue
        if record["status"] != "ok":
            found.lost.append(f"{name}: {record['status']} {record['reason']}")
        elif _bare(record) != _bare(read_any(path)):
            found.different.append(name)
        elif path.parent.name == "eval" and _outcomes(other) != _outcomes(path):
            found.different.append(str(other.with_suffix(".npz")))
    for weights in calm.path.glob("*.safetensors"):
        other = stormy.path / weights.name
        if not other.is_file() or other.read_bytes() != weights.read_bytes():
            found.different.append(str(other))


def _bare(record: Any) -> Any:
    """What a record says of what was found."""
    if isinstance(record, dict):
        return {name: _bare(value) for name, value in record.items() if name not in PASSING}
    return record


def _outcomes(record: Path) -> str:
    whole = unpack(record.with_suffix(".npz"))
    digest = hashlib.sha256()
    for name, mask in whole.stands.items():
        digest.update(name.encode() + mask.tobytes())
    return digest.hexdigest()


def _double(folder: CellFolder) -> list[str]:
    """Trainings and evaluations that ended well more than once, by the cell's own log."""
    lines, _ = read_log(folder.events)
    ended = Counter(
        line["label"]
        for line in lines
        if line.get("event") == "finished" and line.get("status") == "ok"
    )
    return [f"{label}: {count} times" for label, count in ended.items() if count > 1]
