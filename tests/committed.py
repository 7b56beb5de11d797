"""Cells of the committed results, copied, and made into others: no test has to train them."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from robench.evaluation.outcomes import Outcomes, pack, unpack
from robench.store.records import read_record, write_record

DIGITS = Path(__file__).parents[1] / "results" / "digits"


def taken(into: Path, *beginnings: str) -> Path:
    """A results folder with those cells whose names begin so: ``madry-digits-digitscnn-s0``."""
    for source in sorted((DIGITS / "cells").iterdir()):
        if source.name.startswith(beginnings):
            shutil.copytree(source, into / "cells" / source.name)
    return into


def cell(results: Path, beginning: str = "") -> Path:
    """The one cell of a results folder whose name begins so."""
    (found,) = (results / "cells").glob(f"{beginning}*")
    return found


def evaluation(of: Path, beginning: str = "best-standard-Linf-3_16") -> Path:
    """The record of an evaluation."""
    (found,) = (of / "eval").glob(f"{beginning}*.json")
    return found


def retrained(of: Path, content: bytes, *, keep: bool = True) -> None:
    """Give a cell other weights, as if they had been trained and attacked; on disk if ``keep``."""
    sha256 = hashlib.sha256(content).hexdigest()
    record = read_record(of / "cell.json")
    for name, facts in record["checkpoints"].items():
        facts["sha256"] = sha256
        if keep:
            (of / f"{name}.safetensors").write_bytes(content)
            beside = of / f"{name}.safetensors.sha256"
            beside.write_text(f"{sha256}  {name}.safetensors\n", encoding="utf-8")
    write_record(of / "cell.json", record)
    for path in (of / "eval").glob("*.json"):
        write_record(path, read_record(path) | {"weights": sha256})


def fallen(path: Path, count: int = 1) -> None:
    """Let images fall to an evaluation's last attack that stood."""
    record, outcomes = read_record(path), unpack(path.with_suffix(".npz"))
    last = record["order"][-1]
    worst = outcomes.worst.copy()
    worst[np.flatnonzero(worst)[:count]] = False
    stands = {**outcomes.stands, last: worst}
    packed = pack(Outcomes(stands, outcomes.y, outcomes.origin, outcomes.carried))
    path.with_suffix(".npz").write_bytes(packed)
    said = {"outcomes": hashlib.sha256(packed).hexdigest()}
    said |= {"stands": {name: int(mask.sum()) for name, mask in stands.items()}}  # type: ignore[dict-item]
    write_record(path, record | said)


def shown(path: Path, first: int = 3) -> Path:
    """Let an evaluation have kept what broke its first images: a file, here of any content."""
    images = path.with_suffix(".images.safetensors")
    images.write_bytes(f"what broke the first {first}".encode())
    said = {"first": first, "fell": 1, "sha256": hashlib.sha256(images.read_bytes()).hexdigest()}
    write_record(path, read_record(path) | {"images": said})
    return images


def failed(path: Path, status: str = "failed") -> None:
    """Make a record one of something that went wrong."""
    write_record(path, read_record(path) | {"status": status, "reason": "out of luck"})
    path.with_suffix(".npz").unlink(missing_ok=True)


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, by path; locks and tables are no results."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".csv"
    }
