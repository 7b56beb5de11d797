"""A cell's networks: new, begun with another cell's weights, or as they were trained."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from robench.data.load import Data
from robench.errors import ConfigError, StoreError
from robench.evaluation.recognition import check_recognised, recognised
from robench.models.catalogue import build
from robench.models.classifier import Network
from robench.plan import Job, Plan
from robench.settings import Plain
from robench.store.cell import Cell
from robench.store.records import CellFolder, check_weights, read_record
from robench.threat import Threat
from robench.training.checkpoint import restore
from robench.training.epochs import new_run


def maker(cell: Cell, data: Data) -> Callable[[], Network]:
    """What methods build their module from: the cell's network with random weights."""

    def classifier() -> Network:
        return build(cell.model, data.facts, normalise=cell.recipe.normalise)

    return classifier


def started(job: Job, start: Job, data: Data, folder: CellFolder) -> Callable[[], Network]:
    """A maker of the cell's network with the weights that another cell has trained."""
    trained = _other(start, folder.path.parent, data, "training starts from").state_dict()
    fresh = maker(job.cell, data)

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


def restored(job: Job, weights: Path, data: Data) -> nn.Module:
    """What is attacked, in eval mode: the cell's own network with weights from a file."""
    cell, place = job.cell, data.test.y.device
    run = new_run(data, Threat(cell.norm, float(cell.eps)), cell.recipe)
    return restore(weights, job.method, maker(cell, data), run, cell.seed, place)


def look(job: Job, data: Data, weights: Path) -> Plain:
    """What weights recognise, loaded as an evaluation loads them."""
    return recognised(restored(job, weights, data), data, job.cell.seed)


def source(plan: Plan, key: str, beside: Path) -> nn.Module:
    """The model that images are crafted on."""
    (job,) = [job for job in plan.jobs if job.cell.key == key]
    return _other(job, beside.parent.parent, plan.data[job.cell.dataset], "images are crafted on")


def _other(job: Job, cells: Path, data: Data, what_for: str) -> nn.Module:
    """The best checkpoint of another cell, among the folders of all cells."""
    folder = CellFolder(cells / job.cell.name)
    kept = read_record(folder.record)
    if kept["status"] != "ok":
        raise StoreError(f"{job.cell.label}, whose cell {what_for}, {kept['status']}")
    best, weights = kept["checkpoints"]["best"], folder.weights("best")
    check_weights(weights, best["sha256"])
    model = restored(job, weights, data).eval()
    check_recognised(weights, model, data, job.cell.seed, best)
    return model
