"""The only loop over stages, epochs and batches."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robench import settings
from robench.data.augment import augment
from robench.data.batches import batches
from robench.data.load import Data
from robench.data.pool import Pool
from robench.errors import Diverged, PluginError
from robench.models.passes import Passes, counted
from robench.threat import Threat
from robench.training.method import Method, Run, Stage
from robench.training.recipe import Recipe
from robench.training.schedule import learning_rate


@dataclass(frozen=True)
class Done:
    """One epoch, just ended."""

    number: int
    total: int
    stage: str
    ends_stage: bool
    model: nn.Module
    """The trained module, or its running average."""
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
    facts, pool = data.facts, _pool(data, recipe)
    return Run(threat, len(data.train), facts.num_classes, facts.shape[0], recipe.craft, pool=pool)


def _pool(data: Data, recipe: Recipe) -> Pool:
    def augmented(x: Tensor) -> Tensor:
        return augment(x, recipe.augment, recipe.pad, recipe.padding, torch.default_generator)

    return Pool(data.train, augmented)


def rounds(stage: Stage, recipe: Recipe) -> int:
    """Epochs of a stage: its share of the recipe's, at least one."""
    return max(1, round(stage.share * recipe.epochs))


def epochs(
    method: Method, model: nn.Module, data: Data, recipe: Recipe, run: Run, seed: int
) -> Iterator[Done]:
    """Train the module, and stop after every epoch to tell.

    Raises:
        Diverged: a loss is not finite.
    """
    order = torch.Generator().manual_seed(seed)
    average, number, stages = _average(model, recipe), 0, method.stages()
    total = sum(rounds(stage, recipe) for stage in stages)
    for stage in stages:
        present = settings.change("recipe", recipe, stage.recipe)
        optimizer = _optimizer(method, model, present, stage)
        for epoch in range(rounds(stage, recipe)):
            started, number = time.perf_counter(), number + 1
            run.stage, run.pool = stage.name, _pool(data, present)
            with counted(model) as passes:
                part = epoch, rounds(stage, recipe)
                losses = _epoch(method, model, data, present, run, order, optimizer, average, part)
            yield Done(
                number,
                total,
                stage.name,
                epoch + 1 == rounds(stage, recipe),
                model if average is None else average.module,
                optimizer.param_groups[0]["lr"],
                losses.mean().item(),
                time.perf_counter() - started,
                passes,
                run.told(),
            )


def _epoch(
    method: Method,
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    run: Run,
    order: torch.Generator,
    optimizer: Optimizer,
    average: AveragedModel | None,
    part: tuple[int, int],
) -> Tensor:
    """Every training image once; the loss of each step."""
    model.train()
    device = data.train.y.device
    half = recipe.bf16 and device.type == "cuda"
    steps = -(-len(data.train) // recipe.batch_size)
    losses: list[Tensor] = []
    for step, batch in enumerate(batches(data.train, recipe.batch_size, order)):
        run.progress = (part[0] + step / steps) / part[1]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, run.progress)
        x = augment(batch.x, recipe.augment, recipe.pad, recipe.padding, order)
        # No cache: a method may change weights between the passes of one step.
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            losses.append(method.step(model, replace(batch, x=x), run, optimizer))
        if average is not None:
            average.update_parameters(model)
        if (step + 1) % 50 == 0 or step + 1 == steps:  # rarely: it waits for the device
            _stop_if_diverged(losses, run.stage, part[0])
    return torch.stack(losses)


def _stop_if_diverged(losses: list[Tensor], stage: str, epoch: int) -> None:
    bad = (~torch.stack(losses).isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        value = losses[step].item()
        raise Diverged(f"stage {stage}, epoch {epoch + 1}, step {step + 1}: the loss is {value}")


def _optimizer(method: Method, model: nn.Module, recipe: Recipe, stage: Stage) -> Optimizer:
    weights = [p for name, p in model.named_parameters() if name.startswith(stage.prefix)]
    if not weights:
        raise PluginError(
            f"stage {stage.name!r} of {type(method).__name__} trains nothing: "
            f"no weight's name starts with {stage.prefix!r}"
        )
    if recipe.optimizer == "adam":
        return torch.optim.Adam(weights, recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        weights, recipe.lr, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov
    )


def _average(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    if recipe.ema is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
