"""What the records of a cell and of an evaluation say, and the files that lie beside them."""

import hashlib
import math
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robench import device
from robench.adversary.attack import out_of_memory
from robench.adversary.measure import Reading
from robench.data.load import Data
from robench.evaluation import examples as shown
from robench.evaluation.cost import Cost
from robench.evaluation.evaluate import Evaluated
from robench.evaluation.outcomes import pack
from robench.events import Finished
from robench.names import TOGETHER
from robench.plan import Job
from robench.printable import printable
from robench.settings import Plain
from robench.store.cell import KEPT, Cell
from robench.store.files import remove, write
from robench.store.provenance import provenance
from robench.store.records import CellFolder
from robench.training import recipe
from robench.training.checkpoint import to_bytes
from robench.training.train import Trained

ADVICE = "out of memory; a smaller recipe.batch_size or a smaller network needs less"


def header(protocol: int, key: str, identity: Plain, data: Data, run: str) -> dict[str, Any]:
    """How every record begins."""
    return {
        "protocol": protocol,
        "key": key,
        "identity": identity,
        "status": "running",
        "reason": "",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run,
        "environment": provenance() | device.facts(data.train.y.device),
    }


def about(job: Job) -> Plain:
    """What tables and figures say of a cell, beyond its identity: it depends on the grid."""
    cell = job.cell
    return {
        "label": cell.label,
        "changes": dict(cell.changes),
        "deviates": cell.deviates,
        "control": job.method.control,
        "select_on": job.method.select_on,
        "shared": recipe.plain(job.shared),
    }


def saved(
    trained: Trained, folder: CellFolder, record: Plain, look: Callable[[Path], Plain]
) -> Plain:
    """Write both checkpoints, each with its SHA-256 beside it; what the record says of them.

    ``look`` loads what was written, and says what it recognises.
    """
    kept: dict[str, Plain] = {}
    looked: dict[str, Plain] = {}  # best and last are often the same file
    for name in KEPT:
        checkpoint = trained.best if name == "best" else trained.last
        path = folder.weights(name)
        content = to_bytes(checkpoint, {"key": record["key"], "identity": record["identity"]})
        sha256 = hashlib.sha256(content).hexdigest()
        write(path, content)
        looked[sha256] = looked.get(sha256) or look(path)
        kept[name] = {
            "epoch": checkpoint.epoch,
            "validation": asdict(checkpoint.validation),
            "sha256": sha256,
            "bytes": len(content),
            "recognised": looked[sha256],
        }
    said = {"checkpoints": kept, "troubles": [asdict(trouble) for trouble in trained.troubles]}
    for path, text in folder.copies(said).items():
        write(path, text)
    return said


def outcome(found: Evaluated, path: Path, record: Plain) -> Plain:
    """Write the outcome of every image beside the record; what the record says of it."""
    outcomes = found.outcomes
    packed = pack(outcomes)
    write(path.with_suffix(".npz"), packed)
    stands = {name: int(mask.sum()) for name, mask in outcomes.stands.items()}
    return {
        "status": "ok",
        "verdict": found.verdict,
        "n": len(outcomes.y),
        "stands": stands,
        "order": list(stands),
        "carried": int(outcomes.carried.sum()),
        "audit": asdict(found.audit) if found.audit else None,
        "findings": {name: asdict(finding) for name, finding in found.findings.items()},
        "measures": {name: _said(reading) for name, reading in found.readings.items()},
        "batch": found.chunk,
        "costs": {name: asdict(cost) for name, cost in found.costs.items()},
        "probing": asdict(found.probing) if found.probing else None,
        "outcomes": hashlib.sha256(packed).hexdigest(),
        "seconds": sum((found.probing or Cost(), *found.costs.values()), Cost()).seconds,
        **_examples(found, path, record),
    }


def _examples(found: Evaluated, path: Path, record: Plain) -> Plain:
    """Write what broke the first images, if that was asked for; an earlier evaluation's goes."""
    if found.examples is None:
        remove(shown.beside(path))
        return {}
    about = {name: record["identity"][name] for name in ("suite", "norm", "eps")}
    content = shown.pack(found.examples, about | {"weights": record["weights"]})
    write(shown.beside(path), content)
    said = {"first": found.examples.first, "fell": len(found.examples.position)}
    return {"images": said | {"sha256": hashlib.sha256(content).hexdigest()}}


def _said(reading: Reading) -> Plain:
    """A measure's numbers, NaN as none, and the labels of its curves."""
    values = [asdict(value) for value in reading.values]
    for value in values:
        value["value"] = None if math.isnan(value["value"]) else value["value"]
    curves = {c.name: {"x": c.x_label, "y": c.y_label} for c in reading.curves}
    return {"values": values, "curves": curves}


def failure(error: BaseException) -> Plain:
    """What a record says of an error."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return {
        "status": "failed",
        "reason": printable(f"{ADVICE} ({said})" if out_of_memory(error) else said),
        "traceback": printable("".join(traceback.format_exception(error)), "\n\t"),
    }


def finished(cell: Cell, label: str, record: Plain, dropped: int = 0) -> Finished:
    """What a record comes to, in words."""
    said, trace = record["reason"], record.get("traceback", "")
    if "checkpoints" in record:
        best = record["checkpoints"]["best"]
        look = best["validation"]
        found = f"{look['natural']:.1%} natural, {look['robust']:.1%} PGD"
        said = f"best epoch {best['epoch']}: {found} on validation"
    elif record.get("measures"):
        said = ", ".join(_firsts(record["measures"]))
    elif "stands" in record:
        stands = [count / record["n"] for count in record["stands"].values()]
        said = f"natural {stands[0]:.1%}, worst {stands[-1]:.1%}"
    return Finished(cell.name, label, record["status"], said, record["seconds"], dropped, trace)


def _firsts(measures: Plain) -> Iterator[str]:
    """The first number of each measure, with the measure's name where others are beside it."""
    for measure, reading in measures.items():
        first = reading["values"][0]
        alone = len(measures) == 1 or measure == TOGETHER
        label = first["name"] if alone else f"{measure} {first['name']}".rstrip()
        yield f"{label or measure}: {_number(first['value'])}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"
