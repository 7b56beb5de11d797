"""One cell's training and one evaluation, from the plan to whole files with a status."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from robench import device, networks
from robench.adversary.suite import Suite
from robench.data.load import Data
from robench.entries import about, failure, finished, header, outcome, saved
from robench.errors import Diverged, WriteError
from robench.evaluation.evaluate import Evaluated, evaluate
from robench.evaluation.measured import measure
from robench.evaluation.recognition import check_recognised
from robench.evaluation.stored import trusted
from robench.events import Attacked, Epoch, Evaluating, Event, Training, Warned
from robench.keeping import State
from robench.plan import Job, Plan
from robench.radius import show_eps
from robench.saving import Saver
from robench.seeds import derive
from robench.settings import Plain
from robench.store.cell import ATTACKED, PROTOCOL, Evaluation
from robench.store.curve import Curve
from robench.store.records import CellFolder, check_weights, read_record, write_record
from robench.threat import Threat
from robench.training.epochs import rounds
from robench.training.train import train
from robench.watch import Watch


def train_cell(
    job: Job, data: Data, folder: CellFolder, watch: Watch, before: Plain | None
) -> None:
    """Train a cell and write its curve, its checkpoints and, last, its record.

    ``before`` is the record of a training that did not end well; what it saved is gone on from.

    Raises:
        Stopped: on request, when the state is saved.
        WriteError: the disk, not the cell, is at fault; its record still says ``running``.
    """
    cell, curve = job.cell, Curve(folder.curve)
    label = f"{cell.label} seed {cell.seed}"
    record = header(PROTOCOL, cell.key, cell.identity, data, watch.run) | about(job)
    saver = Saver(folder.record, record, watch, before)
    keeper = _WithCurve(saver, curve)
    write_record(folder.record, record)
    watch.tell(Training(cell.name, label, sum(rounds(s, cell.recipe) for s in job.method.stages())))

    def listen(event: Event) -> None:
        if isinstance(event, Epoch):
            curve.add(event)
        watch.tell(event)

    try:
        threat = Threat(cell.norm, float(cell.eps))
        maker = networks.maker(cell, data)
        if job.start is not None:
            maker = networks.started(job, job.start, data, folder)
        seen = replace(data, extra=job.extra)
        trained = train(
            job.method, maker, seen, cell.recipe, threat, cell.seed, listen, cell.name, keeper
        )
        look = partial(networks.look, job, data)
        watch.check_lock(now=True)
        record |= saved(trained, folder, record, look) | {"status": "ok"}
    except WriteError:
        raise
    except Diverged as error:
        record |= {"status": "diverged", "reason": str(error)}
    except (Exception, SystemExit) as error:
        record |= failure(error)
    peak = device.peak_mb(data.train.y.device)
    record |= {"seconds": keeper.seconds(), "peak_mb": peak, **curve.costs()}
    record["curve"] = curve.text().splitlines() if curve.rows else []
    saver.close()
    dropped = 0 if record["status"] == "ok" else len(job.evaluations)
    watch.tell(finished(cell, label, record, dropped))


class _WithCurve:
    """Saves the rows of train.csv, and the seconds spent, with the state of a training."""

    def __init__(self, saver: Saver, curve: Curve) -> None:
        self._saver, self._curve = saver, curve
        self._began, self._earlier = time.perf_counter(), 0.0

    def seconds(self) -> float:
        """Spent on what counts: not on what was lost with a killed process."""
        return self._earlier + time.perf_counter() - self._began

    def load(self) -> State | None:
        state = self._saver.load()
        if state is not None:
            self._curve.rows, self._earlier = state["rows"], state["seconds"]
        return state

    def between(self, state: Callable[[], State]) -> None:
        self._saver.between(lambda: self._whole(state))

    def ended(self, state: Callable[[], State]) -> None:
        self._saver.ended(lambda: self._whole(state))

    def _whole(self, state: Callable[[], State]) -> State:
        return state() | {"rows": self._curve.rows, "seconds": self.seconds()}


def evaluate_cell(
    job: Job, together: Sequence[Evaluation], plan: Plan, folder: CellFolder, watch: Watch,
    before: Plain | None,
) -> None:  # fmt: skip
    """Attack one checkpoint with one suite at some radii, and write a record of each.

    The records are written last, when the outcome of every image lies beside them, and that of the
    first radius, which points to what was saved, last of all. Raises as ``train_cell`` does.
    """
    cell, clock, data = job.cell, time.perf_counter(), plan.data[job.cell.dataset]
    together = sorted(together, key=lambda evaluation: evaluation.eps)
    kept = read_record(folder.record)["checkpoints"][together[0].checkpoint]
    records = [
        header(ATTACKED, evaluation.key, evaluation.identity, data, watch.run)
        | {"cell": cell.name, "weights": kept["sha256"], "epoch": kept["epoch"]}
        | _of_suite(plan.suites[evaluation.suite])
        for evaluation in together
    ]
    paths = [folder.outcome(evaluation) for evaluation in together]
    saver = Saver(paths[0], records[0], watch, before)
    for path, record in zip(paths, records, strict=True):
        write_record(path, record)
    watch.tell(Evaluating(cell.name, describe(job, *together), len(data.test)))
    weights = folder.weights(together[0].checkpoint)
    check_weights(weights, kept["sha256"])  # damage is no failure of the attack
    try:
        found = _attack(job, together, plan, weights, kept, watch, saver)
        watch.check_lock(now=True)
        for record, path, evaluated in zip(records, paths, found, strict=True):
            record |= outcome(evaluated, path, record)
    except WriteError:
        raise
    except (Exception, SystemExit) as error:
        spent = (time.perf_counter() - clock) / len(together)
        for record in records:
            record |= failure(error) | {"seconds": spent}
    for path, record in list(zip(paths, records, strict=True))[1:]:
        write_record(path, record)
    saver.close()
    for record, evaluation in zip(records, together, strict=True):
        watch.tell(finished(cell, describe(job, evaluation), record))


def crashed(job: Job, folder: CellFolder, reason: str, tail: str, watch: Watch) -> None:
    """Write down what a process was at when it ended without a word; what it saved stays."""
    label, failed = f"{job.cell.label} seed {job.cell.seed}", False
    known = {folder.record: label} | {folder.outcome(e): describe(job, e) for e in job.evaluations}
    for path, said in known.items():
        record = trusted(path)
        if record is not None and record["status"] == "running":
            spent = datetime.now(UTC) - datetime.fromisoformat(record["started"])
            record |= {"status": "failed", "reason": reason, "traceback": tail}
            record["seconds"] = spent.total_seconds()
            write_record(path, record)
            watch.tell(finished(job.cell, said, record))
            failed = True
    if not failed:
        watch.tell(Warned(f"{label}: {reason}"))


def _of_suite(suite: Suite) -> Plain:
    """What a record says of the numbers that its suite gives."""
    return {"verdict": suite.verdict} | ({"note": suite.note} if suite.note else {})


def describe(job: Job, *together: Evaluation) -> str:
    """Evaluations in words: ``madry seed 0 best quick Linf 4/255, 8/255``."""
    first, radii = together[0], ", ".join(show_eps(evaluation.eps) for evaluation in together)
    what = f"{job.cell.label} seed {job.cell.seed} {first.checkpoint} {first.suite}"
    return f"{what} {first.norm} {radii}"


def _attack(
    job: Job, together: Sequence[Evaluation], plan: Plan, weights: Path, kept: Plain, watch: Watch,
    saver: Saver,
) -> list[Evaluated]:  # fmt: skip
    """Only what is on disk is attacked, never the model that training left in memory."""
    cell, data, first = job.cell, plan.data[job.cell.dataset], together[0]
    model = networks.restored(job, weights, data)
    check_recognised(weights, model, data, cell.seed, kept)

    def after(attack: str, at: int, stand: int | None, seen: int, total: int) -> None:
        watch.tell(Attacked(cell.name, attack, show_eps(together[at].eps), stand, seen, total))

    threats = [Threat(evaluation.norm, float(evaluation.eps)) for evaluation in together]
    seed, suite = derive(cell.seed, first.suite), plan.suites[first.suite]
    drawing, stand_in = job.method.stochastic, plan.stand_ins.get(first.suite)
    if suite.measures:
        return measure(
            model, suite, data, threats, seed, after, saver, stochastic=drawing, stand_in=stand_in
        )
    own = job.method.adaptive(first.norm)
    suite, stand_in = suite.including(own), stand_in and stand_in.including(own)
    if first.sources:
        suite = suite.on(
            {name: networks.source(plan, key, weights) for name, key in first.sources.items()}
        )
    return evaluate(
        model,
        suite,
        data.test,
        threats,
        seed,
        after,
        stochastic=drawing,
        stand_in=stand_in,
        keeper=saver,
        save_adversarial=plan.save_adversarial,
    )
