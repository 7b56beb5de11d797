"""The only loop over stages, epochs and batches."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.data.augment import augment
from robench.data.batches import batches, shuffled
from robench.data.load import Data
from robench.data.pool import Pool
from robench.errors import Diverged
from robench.models.passes import Passes, counted
from robench.threat import Threat
from robench.training.course import Course, Underway
from robench.training.method import Run, Stage
from robench.training.recipe import Recipe
from robench.training.schedule import learning_rate

Between = Callable[[], None]
"""Called between the steps of an epoch: the moment to save, or to stop."""


@dataclass(frozen=True)
class Done:
    """One epoch, just ended."""

    number: int
    total: int
    stage: str
    ends_stage: bool
    validated: bool
    """Whether its stage leaves a classifier to look at."""
    rate: float
    """The last learning rate."""
    loss: float
    """Mean over steps."""
    seconds: float
    passes: Passes
    log: dict[str, float]
    """What the method logged."""


def new_run(data: Data, threat: Threat, recipe: Recipe) -> Run:
    """The method's view of a training that has not begun."""
    facts = data.facts
    run = Run(threat, len(data.train), facts.num_classes, facts.shape[0], recipe.craft)
    _fill_pools(run, data, recipe)
    return run


def _fill_pools(run: Run, data: Data, recipe: Recipe) -> None:
    """Let a method draw images, augmented as a stage's batches are."""

    def augmented(x: Tensor) -> Tensor:
        return augment(x, recipe.augment, recipe.pad, recipe.padding, torch.default_generator)

    run.pool = Pool(data.train, augmented)
    run.extra = Pool(data.extra, augmented) if data.extra is not None else None


def rounds(stage: Stage, recipe: Recipe) -> int:
    """Epochs of a stage: its share of the recipe's, at least one."""
    return max(1, round(stage.share * recipe.epochs))


def epochs(course: Course, data: Data, between: Between) -> Iterator[Done]:
    """Train from where the course stands, and stop after every epoch to tell.

    Raises:
        Diverged: a loss is not finite.
    """
    stages, run = course.method.stages(), course.run
    total = sum(rounds(stage, course.recipe) for stage in stages)
    while course.stage < len(stages):
        stage, recipe = course.present()
        last, optimizer = rounds(stage, course.recipe), course.begin_stage()
        while course.epoch < last:
            run.stage = stage.name
            _fill_pools(run, data, recipe)
            now = _epoch(course, data, recipe, last, between)
            course.underway = None
            course.epoch, course.number = course.epoch + 1, course.number + 1
            yield Done(
                course.number,
                total,
                stage.name,
                course.epoch == last,
                stage.validated,
                optimizer.param_groups[0]["lr"],
                torch.stack(now.losses).mean().item(),
                now.seconds,
                now.passes,
                run.told(),
            )
        course.end_stage()


def _epoch(course: Course, data: Data, recipe: Recipe, last: int, between: Between) -> Underway:
    """Every training image once, or the rest of them; what the whole epoch came to."""
    model, run, optimizer = course.model, course.run, course.begin_stage()
    model.train()
    now = course.underway or Underway(shuffled(data.train, course.shuffle))
    course.underway = now
    begun, before, so_far = time.perf_counter(), now.seconds, now.passes
    steps = -(-len(data.train) // recipe.batch_size)
    with counted(model) as passes:
        for batch in batches(data.train, now.order, recipe.batch_size, now.step):
            run.progress = (course.epoch + now.step / steps) / last
            run.ends_epoch = now.step + 1 == steps
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, run.progress)
            x = augment(batch.x, recipe.augment, recipe.pad, recipe.padding, course.shuffle)
            with autocast(recipe, x.device):
                now.losses.append(course.method.step(model, replace(batch, x=x), run, optimizer))
            if course.average is not None:
                course.average.update_parameters(model)
            now.step += 1
            now.seconds = before + time.perf_counter() - begun
            now.passes = so_far + passes
            if now.step % 50 == 0 or now.step == steps:  # rarely: it waits for the device
                _stop_if_diverged(now.losses, run.stage, course.epoch)
            if now.step < steps:
                between()
    return now


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """What a step runs in. No cache: a method may change weights between the passes of one step."""
    half = recipe.bf16 and device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False)


def _stop_if_diverged(losses: list[Tensor], stage: str, epoch: int) -> None:
    bad = (~torch.stack(losses).isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        value = losses[step].item()
        raise Diverged(f"stage {stage}, epoch {epoch + 1}, step {step + 1}: the loss is {value}")
