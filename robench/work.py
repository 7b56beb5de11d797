"""One cell's training and one evaluation, from the plan to whole files with a status."""

import hashlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from robench import device
from robench.data.load import Data
from robench.errors import ConfigError, Diverged, StoreError
from robench.evaluation.evaluate import Evaluated, evaluate
from robench.evaluation.outcomes import pack
from robench.events import Attacked, Epoch, Evaluating, Event, Finished, Tell, Training
from robench.models.catalogue import build
from robench.models.classifier import Classifier
from robench.plan import Job, Plan
from robench.radius import show_eps
from robench.seeds import derive
from robench.settings import Plain, plain
from robench.store.cell import ATTACKED, KEPT, PROTOCOL, Cell, Evaluation
from robench.store.curve import Curve
from robench.store.files import write
from robench.store.provenance import provenance
from robench.store.records import CellFolder, check_weights, read_record, write_record
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.epochs import new_run, rounds
from robench.training.train import Trained, train


def train_cell(job: Job, data: Data, folder: CellFolder, tell: Tell) -> None:
    """Train a cell and write its curve, its checkpoints and, last, its record."""
    cell, clock = job.cell, time.perf_counter()
    label = f"{cell.label} seed {cell.seed}"
    record = _header(PROTOCOL, cell.key, cell.identity, data) | about(job)
    write_record(folder.record, record)
    epochs = sum(rounds(stage, cell.recipe) for stage in job.method.stages())
    tell(Training(cell.name, label, epochs))
    curve = Curve(folder.curve)

    def listen(event: Event) -> None:
        if isinstance(event, Epoch):
            curve.add(event)
        tell(event)

    try:
        threat = Threat(cell.norm, float(cell.eps))
        maker = _maker(cell, data) if job.start is None else _started(job, job.start, data, folder)
        trained = train(job.method, maker, data, cell.recipe, threat, cell.seed, listen, cell.name)
        record |= _save(trained, folder, record) | {"status": "ok"}
    except Diverged as error:
        record |= {"status": "diverged", "reason": str(error)}
    except (Exception, SystemExit) as error:
        record |= _failure(error)
    record |= {"seconds": time.perf_counter() - clock, **curve.costs()}
    write_record(folder.record, record)
    dropped = 0 if record["status"] == "ok" else len(job.evaluations)
    tell(_finished(cell, label, record, dropped))


def evaluate_cell(
    job: Job, together: Sequence[Evaluation], plan: Plan, folder: CellFolder, tell: Tell
) -> None:
    """Attack one checkpoint with one suite at some radii, and write a record of each.

    The records are written last, when the outcome of every image lies beside them.
    """
    cell, clock, data = job.cell, time.perf_counter(), plan.data[job.cell.dataset]
    together = sorted(together, key=lambda evaluation: evaluation.eps)
    kept = read_record(folder.record)["checkpoints"][together[0].checkpoint]
    records = [
        _header(ATTACKED, evaluation.key, evaluation.identity, data)
        | {"cell": cell.name, "weights": kept["sha256"], "epoch": kept["epoch"]}
        | {"verdict": plan.suites[evaluation.suite].verdict}
        for evaluation in together
    ]
    tell(Evaluating(cell.name, describe(job, *together), len(data.test)))
    try:
        weights = folder.weights(together[0].checkpoint)
        check_weights(weights, kept["sha256"])
        found = _attack(job, together, plan, weights, tell)
        for record, evaluation, evaluated in zip(records, together, found, strict=True):
            record |= _outcome(evaluated, folder.outcome(evaluation))
    except (Exception, SystemExit) as error:
        spent = (time.perf_counter() - clock) / len(together)
        for record in records:
            record |= _failure(error) | {"seconds": spent}
    for record, evaluation in zip(records, together, strict=True):
        write_record(folder.outcome(evaluation), record)
        tell(_finished(cell, describe(job, evaluation), record))


def describe(job: Job, *together: Evaluation) -> str:
    """Evaluations in words: ``madry seed 0 best quick Linf 4/255, 8/255``."""
    first, radii = together[0], ", ".join(show_eps(evaluation.eps) for evaluation in together)
    what = f"{job.cell.label} seed {job.cell.seed} {first.checkpoint} {first.suite}"
    return f"{what} {first.norm} {radii}"


def _attack(
    job: Job, together: Sequence[Evaluation], plan: Plan, weights: Path, tell: Tell
) -> list[Evaluated]:
    """Only what is on disk is attacked, never the model that training left in memory."""
    cell, data, first = job.cell, plan.data[job.cell.dataset], together[0]
    model = _restored(job, weights, data)

    def after(attack: str, at: int, stand: int, seen: int, total: int) -> None:
        tell(Attacked(cell.name, attack, show_eps(together[at].eps), stand, seen, total))

    threats = [Threat(evaluation.norm, float(evaluation.eps)) for evaluation in together]
    seed, suite = derive(cell.seed, first.suite), plan.suites[first.suite]
    if first.sources:
        suite = suite.on({name: _source(plan, key, weights) for name, key in first.sources.items()})
    return evaluate(
        model,
        suite,
        data.test,
        threats,
        seed,
        after,
        stochastic=job.method.stochastic,
        stand_in=plan.stand_ins.get(first.suite),
    )


def _restored(job: Job, weights: Path, data: Data) -> nn.Module:
    cell, place = job.cell, data.test.y.device
    run = new_run(data, Threat(cell.norm, float(cell.eps)), cell.recipe)
    return restore(weights, job.method, _maker(cell, data), run, cell.seed, place)


def _source(plan: Plan, key: str, beside: Path) -> nn.Module:
    """The model that images are crafted on."""
    (job,) = [job for job in plan.jobs if job.cell.key == key]
    return _other(job, beside.parent.parent, plan.data[job.cell.dataset], "images are crafted on")


def _other(job: Job, cells: Path, data: Data, what_for: str) -> nn.Module:
    """The best checkpoint of another cell, among the folders of all cells."""
    folder = CellFolder(cells / job.cell.name)
    kept = read_record(folder.record)
    if kept["status"] != "ok":
        raise StoreError(f"{job.cell.label}, whose cell {what_for}, {kept['status']}")
    check_weights(folder.weights("best"), kept["checkpoints"]["best"]["sha256"])
    return _restored(job, folder.weights("best"), data).eval()


def _started(job: Job, start: Job, data: Data, folder: CellFolder) -> Callable[[], Classifier]:
    """A maker of the cell's network with the weights that another cell has trained."""
    trained = _other(start, folder.path.parent, data, "training starts from").state_dict()
    fresh = _maker(job.cell, data)

    def classifier() -> Classifier:
        network = fresh()
        try:
            network.load_state_dict(trained)
        except RuntimeError as error:
            raise ConfigError(
                f"{job.cell.label} cannot start from {start.cell.label}: its weights are not those "
                f"of one {job.cell.model}"
            ) from error
        return network

    return classifier


def _header(protocol: int, key: str, identity: Plain, data: Data) -> dict[str, Any]:
    """How every record begins."""
    return {
        "protocol": protocol,
        "key": key,
        "identity": identity,
        "status": "running",
        "reason": "",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": provenance() | device.facts(data.train.y.device),
    }


def about(job: Job) -> Plain:
    """What tables and figures say of a cell, beyond its identity: it depends on the grid."""
    cell = job.cell
    return {
        "label": cell.label,
        "changes": dict(cell.changes),
        "deviates": cell.deviates,
        "select_on": job.method.select_on,
        "shared": plain(job.shared),
    }


def _save(trained: Trained, folder: CellFolder, record: Plain) -> Plain:
    """Write both checkpoints, each with its SHA-256 beside it; what the record says of them."""
    kept: dict[str, Plain] = {}
    for name in KEPT:
        checkpoint = trained.best if name == "best" else trained.last
        path = folder.weights(name)
        content = to_bytes(checkpoint, {"key": record["key"], "identity": record["identity"]})
        sha256 = hashlib.sha256(content).hexdigest()
        write(path, content)
        write(path.with_suffix(".safetensors.sha256"), f"{sha256}  {path.name}\n".encode())
        kept[name] = {
            "epoch": checkpoint.epoch,
            "validation": asdict(checkpoint.validation),
            "sha256": sha256,
            "bytes": len(content),
        }
    return {"checkpoints": kept, "troubles": [asdict(trouble) for trouble in trained.troubles]}


def _outcome(found: Evaluated, record: Path) -> Plain:
    """Write the outcome of every image beside the record; what the record says of it."""
    outcomes = found.outcomes
    packed = pack(outcomes)
    write(record.with_suffix(".npz"), packed)
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
        "batch": found.chunk,
        "costs": {name: asdict(cost) for name, cost in found.costs.items()},
        "outcomes": hashlib.sha256(packed).hexdigest(),
        "seconds": sum(cost.seconds for cost in found.costs.values()),
    }


def _failure(error: BaseException) -> Plain:
    return {
        "status": "failed",
        "reason": f"{type(error).__name__}: {' '.join(str(error).split())}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def _finished(cell: Cell, label: str, record: Plain, dropped: int = 0) -> Finished:
    """What a record comes to, in words."""
    said, trace = record["reason"], record.get("traceback", "")
    if "checkpoints" in record:
        best = record["checkpoints"]["best"]
        look = best["validation"]
        found = f"{look['natural']:.1%} natural, {look['robust']:.1%} PGD"
        said = f"best epoch {best['epoch']}: {found} on validation"
    elif "stands" in record:
        stands = [count / record["n"] for count in record["stands"].values()]
        said = f"natural {stands[0]:.1%}, worst {stands[-1]:.1%}"
    return Finished(cell.name, label, record["status"], said, record["seconds"], dropped, trace)


def _maker(cell: Cell, data: Data) -> Callable[[], Classifier]:
    """What methods build their module from: the cell's network with random weights."""

    def classifier() -> Classifier:
        return build(cell.model, data.facts, normalise=cell.recipe.normalise)

    return classifier
