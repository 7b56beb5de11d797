"""Where a training stands: all that its next step depends on, and back from a saved state."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robench import settings
from robench.errors import PluginError
from robench.keeping import State
from robench.models.passes import Passes
from robench.seeds import generators, put_back
from robench.training.method import Method, Run, Stage
from robench.training.recipe import Recipe


@dataclass
class Underway:
    """An epoch that has begun."""

    order: Tensor
    """In which it sees the images, (N,)."""
    step: int = 0
    """Batches done."""
    losses: list[Tensor] = field(default_factory=list)
    passes: Passes = field(default_factory=Passes)
    seconds: float = 0.0
    """Before it was taken up again."""


class Course:
    """A model in training, its optimiser and averages, and its place in the stages and epochs."""

    def __init__(
        self, method: Method, model: nn.Module, recipe: Recipe, run: Run, shuffle: int
    ) -> None:
        self.method, self.model, self.recipe, self.run = method, model, recipe, run
        self.shuffle = torch.Generator().manual_seed(shuffle)
        """Draws the order of the images, and their augmentation."""
        self.average = _average(model, recipe)
        self.optimizer: Optimizer | None = None
        self.stage = self.epoch = self.number = 0
        """The present stage, and how many epochs of it and of all have ended."""
        self.underway: Underway | None = None

    @property
    def trained(self) -> nn.Module:
        """The trained module, or its running average."""
        if self.average is None:
            return self.model
        averaged: nn.Module = self.average.module
        return averaged

    def present(self) -> tuple[Stage, Recipe]:
        """The present stage, and the recipe as it changes it."""
        stage = self.method.stages()[self.stage]
        return stage, settings.change("recipe", self.recipe, stage.recipe)

    def begin_stage(self) -> Optimizer:
        """The stage's optimiser, new where there is none yet."""
        if self.optimizer is None:
            stage, recipe = self.present()
            self.optimizer = _optimizer(self.method, self.model, recipe, stage)
        return self.optimizer

    def end_stage(self) -> None:
        """On to the next stage, which has an optimiser of its own."""
        self.stage, self.epoch, self.optimizer = self.stage + 1, 0, None

    def state(self) -> State:
        """Everything, without copies: to be written before the next step."""
        average, optimizer = self.average, self.optimizer
        return {
            "model": self.model.state_dict(),
            "average": average.state_dict() if average is not None else None,
            "optimizer": optimizer.state_dict() if optimizer is not None else None,
            "memory": dict(self.run.state),
            "place": [self.stage, self.epoch, self.number],
            "underway": _packed(self.underway, self.run) if self.underway else None,
            "shuffle": self.shuffle.get_state(),
            "random": generators(),
        }

    def take_up(self, state: State) -> None:
        """Go on from a state; all random numbers go on from it, too."""
        self.model.load_state_dict(state["model"], strict=True)
        if self.average is not None:
            self.average.load_state_dict(state["average"], strict=True)
        self.stage, self.epoch, self.number = state["place"]
        if state["optimizer"] is not None:
            self.begin_stage().load_state_dict(state["optimizer"])
        place = next(self.model.parameters()).device
        self.run.state = {name: value.to(place) for name, value in state["memory"].items()}
        if state["underway"] is not None:
            self.underway = _unpacked(state["underway"], self.run)
        self.shuffle.set_state(state["shuffle"])
        put_back(state["random"])


def _packed(underway: Underway, run: Run) -> State:
    return {
        "order": underway.order,
        "step": underway.step,
        "losses": torch.stack(underway.losses),
        "passes": [underway.passes.forwards, underway.passes.backwards],
        "seconds": underway.seconds,
        "log": dict(run.log),
        "noted": {name: torch.stack(values) for name, values in run.noted.items()},
    }


def _unpacked(state: State, run: Run) -> Underway:
    run.log = dict(state["log"])
    run.noted = {name: list(values.unbind()) for name, values in state["noted"].items()}
    return Underway(
        state["order"],
        state["step"],
        list(state["losses"].unbind()),
        Passes(*state["passes"]),
        state["seconds"],
    )


def _optimizer(method: Method, model: nn.Module, recipe: Recipe, stage: Stage) -> Optimizer:
    weights = [p for name, p in model.named_parameters() if name.startswith(stage.prefix)]
    if not weights:
        raise PluginError(
            f"stage {stage.name!r} of {type(method).__name__} trains nothing: "
            f"no weight's name starts with {stage.prefix!r}"
        )
    # Fused: all of an update in one pass over the weights, on CPUs too; it differs by rounding.
    if recipe.optimizer == "adam":
        return torch.optim.Adam(weights, recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(
        weights, recipe.lr, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov, fused=True
    )


def _average(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    if recipe.ema is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
