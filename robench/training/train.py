"""Train one method: the only loop over stages, epochs and batches."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robench import settings
from robench.data.augment import augment
from robench.data.batches import batches
from robench.data.load import Data
from robench.errors import Diverged, PluginError
from robench.events import Epoch, Tell, Warned
from robench.models.passes import Passes, counted
from robench.seeds import derive, seeded
from robench.threat import Threat
from robench.training.method import Method, Run, Stage, State
from robench.training.recipe import Recipe
from robench.training.schedule import learning_rate
from robench.training.validate import Trouble, Validation, troubles, validate


@dataclass(frozen=True)
class Checkpoint:
    """Weights and the method's state after an epoch, on the CPU, with what validation said."""

    epoch: int
    tensors: State
    """``model.*``: the trained module, averaged if the recipe asks; ``state.*``: the method's."""
    validation: Validation


@dataclass
class Trained:
    """What training leaves behind."""

    best: Checkpoint
    """Chosen on the validation part, never on the test part, among the last stage's epochs."""
    last: Checkpoint
    troubles: list[Trouble] = field(default_factory=list)


@dataclass(frozen=True)
class _Done:
    """One epoch, just ended."""

    number: int
    total: int
    stage: str
    ends_stage: bool
    model: nn.Module
    """The trained module, or its running average."""
    rate: float
    loss: float
    seconds: float
    passes: Passes


def train(
    method: Method,
    classifier: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    threat: Threat,
    seed: int,
    tell: Tell,
    cell: str = "",
) -> Trained:
    """Train a method on the training part; one seed fixes everything that is random.

    Raises:
        Diverged: a loss is not finite.
    """
    device = data.train.y.device
    run = new_run(data, threat, recipe)
    with seeded(derive(seed, "init")):
        model = method.build(classifier, run).to(device)
        run.state = {name: value.to(device) for name, value in method.init(model, run).items()}
    looked_at = data.validation.first(recipe.validation_images)
    before: list[Validation] = []
    trained, stage = None, ""
    with seeded(derive(seed, "train")):
        for done in _epochs(method, model, data, recipe, run, derive(seed, "data")):
            look = None
            if done.ends_stage or done.number % recipe.validate_every == 0:
                deployed = method.deploy(done.model, run)
                steps, stream = recipe.validation_steps, derive(seed, "validation")
                look = validate(deployed, looked_at, threat, steps, stream)
                last = Checkpoint(done.number, _tensors(done.model, run), look)
                if trained is None or stage != done.stage:
                    trained, before = Trained(last, last, trained.troubles if trained else []), []
                trained.last = last
                trained.best = max(trained.best, last, key=lambda c: _merit(method, c))
                found = troubles(done.number, look, before)
                for trouble in found:
                    if not any(trouble.flag == t.flag for t in trained.troubles):
                        tell(Warned(f"{cell}: epoch {trouble.epoch}: {trouble.detail}"))
                trained.troubles += found
                before.append(look)
                stage = done.stage
            tell(_told(cell, done, look, run))
    assert trained is not None
    return trained


def new_run(data: Data, threat: Threat, recipe: Recipe) -> Run:
    """The method's view of a training that has not begun."""
    facts = data.facts
    return Run(threat, len(data.train), facts.num_classes, facts.shape[0], recipe.craft)


def rounds(stage: Stage, recipe: Recipe) -> int:
    """Epochs of a stage: its share of the recipe's, at least one."""
    return max(1, round(stage.share * recipe.epochs))


def _epochs(
    method: Method, model: nn.Module, data: Data, recipe: Recipe, run: Run, seed: int
) -> Iterator[_Done]:
    order = torch.Generator().manual_seed(seed)
    average = _average(model, recipe)
    stages = method.stages()
    number, total = 0, sum(rounds(stage, recipe) for stage in stages)
    for stage in stages:
        present = settings.change("recipe", recipe, stage.recipe)
        optimizer = _optimizer(method, model, present, stage)
        count = rounds(stage, recipe)
        for epoch in range(count):
            run.stage, run.log = stage.name, {}
            started = time.perf_counter()
            with counted(model) as passes:
                losses = _epoch(
                    method, model, data, present, run, order, optimizer, average, epoch, count
                )
            loss = losses.mean().item()
            number += 1
            yield _Done(
                number,
                total,
                stage.name,
                epoch + 1 == count,
                model if average is None else average.module,
                optimizer.param_groups[0]["lr"],
                loss,
                time.perf_counter() - started,
                passes,
            )


def _epoch(
    method: Method,
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    run: Run,
    order: torch.Generator,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
    epoch: int,
    epochs: int,
) -> Tensor:
    """Every training image once; the loss of each step."""
    model.train()
    device = data.train.y.device
    half = recipe.bf16 and device.type == "cuda"
    steps = -(-len(data.train) // recipe.batch_size)
    losses: list[Tensor] = []
    for step, batch in enumerate(batches(data.train, recipe.batch_size, order)):
        run.progress = (epoch + step / steps) / epochs
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, run.progress)
        x = augment(batch.x, recipe.augment, recipe.pad, recipe.padding, order)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            losses.append(method.step(model, replace(batch, x=x), run, optimizer))
        if average is not None:
            average.update_parameters(model)
        if (step + 1) % 50 == 0 or step + 1 == steps:  # rarely: it waits for the device
            _stop_if_diverged(losses, run.stage, epoch)
    return torch.stack(losses)


def _stop_if_diverged(losses: list[Tensor], stage: str, epoch: int) -> None:
    bad = (~torch.stack(losses).isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        value = losses[step].item()
        raise Diverged(f"stage {stage}, epoch {epoch + 1}, step {step + 1}: the loss is {value}")


def _optimizer(
    method: Method, model: nn.Module, recipe: Recipe, stage: Stage
) -> torch.optim.Optimizer:
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


def _merit(method: Method, checkpoint: Checkpoint) -> tuple[float, float, int]:
    """What the best checkpoint has most of; of equal ones, the later."""
    look = checkpoint.validation
    chosen, other = look.robust, look.natural
    if method.select_on == "natural":
        chosen, other = other, chosen
    return chosen, other, checkpoint.epoch


def _tensors(model: nn.Module, run: Run) -> State:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"state.{name}": value for name, value in run.state.items()}
    return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}


def _told(cell: str, done: _Done, look: Validation | None, run: Run) -> Epoch:
    return Epoch(
        cell=cell,
        epoch=done.number,
        epochs=done.total,
        stage=done.stage,
        lr=done.rate,
        loss=done.loss,
        validation_natural=look.natural if look else None,
        validation_robust=look.robust if look else None,
        seconds=done.seconds,
        forwards=done.passes.forwards,
        backwards=done.passes.backwards,
        log={name: float(value) for name, value in run.log.items()},
    )
