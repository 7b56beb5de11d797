"""One cell's training and one evaluation, from the plan to whole files with a status."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from robench.data.load import Data
from robench.entries import about, failure, finished, header, outcome, saved
from robench.errors import ConfigError, Diverged, StoreError
from robench.evaluation.evaluate import Evaluated, evaluate
from robench.evaluation.measured import measure
from robench.events import Attacked, Epoch, Evaluating, Event, Tell, Training
from robench.models.catalogue import build
from robench.models.classifier import Network
from robench.plan import Job, Plan
from robench.radius import show_eps
from robench.seeds import derive
from robench.store.cell import ATTACKED, PROTOCOL, Cell, Evaluation
from robench.store.curve import Curve
from robench.store.records import CellFolder, check_weights, read_record, write_record
from robench.threat import Threat
from robench.training.checkpoint import restore
from robench.training.epochs import new_run, rounds
from robench.training.train import train


def train_cell(job: Job, data: Data, folder: CellFolder, tell: Tell) -> None:
    """Train a cell and write its curve, its checkpoints and, last, its record."""
    cell, clock = job.cell, time.perf_counter()
    label = f"{cell.label} seed {cell.seed}"
    record = header(PROTOCOL, cell.key, cell.identity, data) | about(job)
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
        record |= saved(trained, folder, record) | {"status": "ok"}
    except Diverged as error:
        record |= {"status": "diverged", "reason": str(error)}
    except (Exception, SystemExit) as error:
        record |= failure(error)
    record |= {"seconds": time.perf_counter() - clock, **curve.costs()}
    write_record(folder.record, record)
    dropped = 0 if record["status"] == "ok" else len(job.evaluations)
    tell(finished(cell, label, record, dropped))


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
        header(ATTACKED, evaluation.key, evaluation.identity, data)
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
            record |= outcome(evaluated, folder.outcome(evaluation))
    except (Exception, SystemExit) as error:
        spent = (time.perf_counter() - clock) / len(together)
        for record in records:
            record |= failure(error) | {"seconds": spent}
    for record, evaluation in zip(records, together, strict=True):
        write_record(folder.outcome(evaluation), record)
        tell(finished(cell, describe(job, evaluation), record))


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

    def after(attack: str, at: int, stand: int | None, seen: int, total: int) -> None:
        tell(Attacked(cell.name, attack, show_eps(together[at].eps), stand, seen, total))

    threats = [Threat(evaluation.norm, float(evaluation.eps)) for evaluation in together]
    seed, suite = derive(cell.seed, first.suite), plan.suites[first.suite]
    if suite.measures:
        return measure(model, suite, data, threats, seed, after)
    own, stand_in = job.method.adaptive(first.norm), plan.stand_ins.get(first.suite)
    suite, stand_in = suite.including(own), stand_in and stand_in.including(own)
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
        stand_in=stand_in,
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


def _started(job: Job, start: Job, data: Data, folder: CellFolder) -> Callable[[], Network]:
    """A maker of the cell's network with the weights that another cell has trained."""
    trained = _other(start, folder.path.parent, data, "training starts from").state_dict()
    fresh = _maker(job.cell, data)

    def classifier() -> Network:
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


def _maker(cell: Cell, data: Data) -> Callable[[], Network]:
    """What methods build their module from: the cell's network with random weights."""

    def classifier() -> Network:
        return build(cell.model, data.facts, normalise=cell.recipe.normalise)

    return classifier
