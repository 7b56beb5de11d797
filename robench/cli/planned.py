"""A plan in words: what a run will do, before it does it."""

from collections.abc import Iterator
from pathlib import Path

import click
import torch

from robench import __version__, settings
from robench.cli.echo import echo
from robench.cli.options import width
from robench.left import Rerun, left
from robench.plan import Plan
from robench.radius import show_eps
from robench.store.records import cell_folder


def announce(plan: Plan, device: torch.device, *, err: bool) -> None:
    """Data, threat model, recipe, deviations and warnings."""
    for label, text in _announcement(plan, device):
        echo(click.wrap_text(text, width(), f"{label:<9} ", " " * 10), err=err)


def listing(plan: Plan, results: Path, rerun: Rerun) -> None:
    """Every cell and what it still needs."""
    for job in plan.jobs:
        cell, found = job.cell, left(job, cell_folder(results, job.cell), rerun)
        state = "to train" if found.train else found.untrained or "trained"
        everything, failed = len(job.evaluations), len(found.failed)
        done = 0 if found.untrained else everything - len(found.evaluations) - failed
        label = f"{cell.label} seed {cell.seed}, {cell.dataset}, {cell.model}"
        said = f"{done}/{everything} evaluations done" + f", {failed} failed" * bool(failed)
        echo(f"{state:<9} {label}: {said}")


def _announcement(plan: Plan, device: torch.device) -> Iterator[tuple[str, str]]:
    yield (
        "robench",
        f"{__version__}, torch {torch.__version__}, {device}, {torch.get_num_threads()} threads",
    )
    for name, data in plan.data.items():
        parts = (len(data.train), len(data.validation), len(data.test))
        yield "data", f"{name}: {parts[0]:,} train, {parts[1]:,} validation, {parts[2]:,} test"
        yield "recipe", _recipe(plan.recipes[name])
    cells = [job.cell for job in plan.jobs]
    balls = dict.fromkeys(f"{cell.norm} {show_eps(cell.eps)}" for cell in cells)
    radii = {e.eps: None for job in plan.jobs for e in job.evaluations}
    norm = next(e.norm for job in plan.jobs for e in job.evaluations)
    attacked = ", ".join(show_eps(eps) for eps in sorted(radii))
    yield "threat", f"trained at {' and '.join(balls)}; attacked at {norm} {attacked}"
    evaluations = sum(len(job.evaluations) for job in plan.jobs)
    yield "grid", f"{len(cells)} trainings, {evaluations} evaluations by {', '.join(plan.suites)}"
    starts = {
        f"{job.cell.label} from {job.start.cell.label}": None for job in plan.jobs if job.start
    }
    if starts:
        yield "starts", ", ".join(starts)
    with_extra = [(job, job.extra) for job in plan.jobs if job.extra is not None]
    for text in dict.fromkeys(
        f"{job.cell.label}: {len(images):,} images of {job.method.extra_data()}"
        for job, images in with_extra
    ):
        yield "extra", text
    for text in dict.fromkeys(f"{c.label}: {c.deviates}" for c in cells if c.deviates):
        yield "deviates", text
    for note in plan.notes:
        yield "note", note


def _recipe(recipe: object) -> str:
    """The fields by which this recipe differs from the defaults are the ones worth reading."""
    shown = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "augment")
    values = {setting.name: setting.value for setting in settings.describe(recipe)}
    return ", ".join(f"{name} {settings.text(values[name])}" for name in shown)
