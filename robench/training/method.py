"""What a training method is: an inner maximisation, an outer loss, and their settings.

    min over weights of  loss(model, batch, x_adv)   where  x_adv = perturb(model, batch)

A method is a frozen dataclass; its fields are its hyper-parameters. What it learns or remembers
between steps lives in ``run.state``, which is saved with the weights.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from robench import plugins, settings
from robench.adversary.attack import Attack
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.data.pool import Pool
from robench.errors import PluginError
from robench.models.passes import Passes
from robench.radius import Norm
from robench.threat import Threat
from robench.training.recipe import OF_A_STAGE, Recipe

State = dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """A part of training with its own optimiser."""

    name: str = "train"
    share: float = 1.0
    """Of the epochs."""
    prefix: str = ""
    """Only weights whose names start so are trained."""
    recipe: Mapping[str, object] = field(default_factory=dict)
    """Fields of the recipe that this stage changes: marked as deviations in every table."""
    validated: bool = True
    """Whether there is a classifier to look at after its epochs; after the last stage there is."""

    def __post_init__(self) -> None:
        """Refuse what would be marked and have no effect."""
        for name in self.recipe:
            if name in Recipe.__dataclass_fields__ and name not in OF_A_STAGE:
                raise PluginError(
                    f"stage {self.name!r} cannot change recipe.{name}; it can change: "
                    f"{', '.join(OF_A_STAGE)}"
                )


@dataclass
class Run:
    """Where training is, and what the method has kept so far."""

    threat: Threat
    """The ball that all methods of a grid train against."""
    num_train: int
    num_classes: int
    channels: int
    craft: Literal["eval", "train"] = "eval"
    """The recipe's mode of batch normalisation while examples are perturbed."""
    stage: str = "train"
    progress: float = 0.0
    """Share of the present stage that is done, in [0, 1)."""
    ends_epoch: bool = False
    """Whether this batch is the last one of its epoch."""
    state: State = field(default_factory=dict)
    """Tensors to keep between steps; saved with every checkpoint."""
    log: dict[str, float | Tensor] = field(default_factory=dict)
    """Numbers for train.csv, as they are at the end of an epoch; scalar tensors are converted then.

    ``name/part`` and ``name/other`` are drawn in one panel.
    """
    pool: Pool | None = None
    """The training part, for methods that need more images than their batch."""
    extra: Pool | None = None
    """The images of ``extra_data``, while a method that has any is trained."""
    noted: dict[str, list[Tensor]] = field(default_factory=dict)
    """What ``note`` was given in this epoch."""

    def note(self, name: str, value: Tensor) -> None:
        """A number for train.csv, a scalar, whose mean over the steps of an epoch counts."""
        self.noted.setdefault(name, []).append(value.detach())

    def told(self) -> dict[str, float]:
        """All that was logged and noted since the last time, and a clean sheet."""
        means = {name: torch.stack(values).mean() for name, values in self.noted.items()}
        found = {name: float(value) for name, value in (self.log | means).items()}
        self.log, self.noted = {}, {}
        return found


@dataclass(frozen=True, kw_only=True)
class Method(settings.Named):
    """Base of every method. Only ``loss`` has to be written."""

    noun: ClassVar[str] = "a method"

    @property
    def choice(self) -> str:
        """The name of its plugin."""
        return plugins.name_of("methods", self)

    @property
    def control(self) -> str:
        """For a negative control, which is known to be weak: what breaks it, in a few words."""
        return ""

    @property
    def stochastic(self) -> bool:
        """Whether the deployed model draws: the same image may get other logits the next time."""
        return False

    @property
    def select_on(self) -> Literal["natural", "robust"]:
        """Which validation accuracy chooses the best checkpoint; the other one breaks ties."""
        return "natural"

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        """Outer loss of a batch, a scalar; the model is in train mode."""
        raise NotImplementedError

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        """Inner maximisation, none by default; the model is in the recipe's crafting mode.

        One image for each of the batch, in its order; or the whole batch several times over.
        """
        return batch.x

    def balls(self, threat: Threat) -> tuple[Threat, ...]:
        """Where ``perturb``'s images lie: each in one of these, by default the grid's own."""
        return (threat,)

    def starts_from(self) -> str:
        """The method on whose trained cell this one starts: same data, network, ball and seed."""
        return ""

    def extra_data(self) -> str:
        """A file of images to train on besides the training part; empty: none.

        It lies below the data root, or anywhere if its name is absolute: an .npz file of arrays
        ``image`` and ``label``. Its content is part of a cell's key.
        """
        return ""

    def extra_limit(self) -> int | None:
        """How many of those it uses at most, the first ones of a fixed random order; none: all."""
        return None

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        """The module to train, given a maker of the grid's classifier.

        Its weights are random, or those of the best checkpoint of the cell that it starts from.
        """
        return classifier()

    def init(self, model: nn.Module, run: Run) -> State:
        """Tensors to remember between steps."""
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """Parts of training, in order."""
        return (Stage(),)

    def passes(self, stage: str) -> Passes:
        """Passes of each image in a step of a stage, past any warm-up; fewer if attacks end early.

        The networks that are counted: classifiers, and what purifies their images.
        """
        return Passes(1, 1)

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        """One update of the weights; returns the loss, detached."""
        with crafting(model, run.craft):
            x_adv = self.perturb(model, batch, run)
        optimizer.zero_grad(set_to_none=True)
        loss = self.loss(model, batch, x_adv, run)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def adaptive(self, norm: Norm) -> Attack | None:
        """An attack made for this method, which every suite then includes (Tramer et al. 2020)."""
        return None

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        """The classifier to attack: images in [0, 1] to logits."""
        return model


@dataclass(frozen=True, kw_only=True)
class Adversarial(Method):
    """A method whose inner maximisation is PGD unless it says otherwise."""

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    attack: PGD = field(default_factory=PGD)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        """PGD on the cross-entropy."""
        return self.attack(model, batch.x, batch.y, run.threat)

    def passes(self, stage: str) -> Passes:
        """One forward and one backward pass for each of the attack's steps and for the loss."""
        return Passes(self.attack.steps + 1, self.attack.steps + 1)


@contextmanager
def crafting(model: nn.Module, mode: Literal["eval", "train"]) -> Iterator[None]:
    """Put a model in the mode in which examples are perturbed, then back as it was."""
    was_training = model.training
    model.train(mode == "train")
    try:
        yield
    finally:
        model.train(was_training)


def presets(name: str) -> dict[str, Method]:
    """A plugin's methods by data set, or by ``dataset/network``; ``*`` is for all others.

    Raises:
        PluginError: no such plugin, it does not load, or it has no such dictionary.
    """
    found = getattr(plugins.get("methods", name).load(), "presets", None)
    if not isinstance(found, dict) or not isinstance(found.get("*"), Method):
        raise PluginError(
            f"method {name!r} has no presets; end its file with: presets = {{'*': YourMethod()}}"
        )
    for dataset, preset in found.items():
        if not isinstance(preset, Method):
            raise PluginError(f"method {name!r}: presets[{dataset!r}] is no Method")
    return found


def method(
    name: str, dataset: str = "*", changes: Mapping[str, object] | None = None, model: str = ""
) -> Method:
    """The method called ``name`` with its preset for a data set and network, some settings changed.

    Raises:
        ConfigError: it has no such setting, or a value is outside the setting's range.
        PluginError: as for ``presets``, or its own code fails.
    """
    known = presets(name)
    with plugins.blamed("methods", name):
        chosen = settings.validated(name, known[preset_for(known, dataset, model)])
        if dataset != "*":
            chosen = _there(chosen, dataset, model)
        return settings.change(name, chosen, changes or {}, lookup(dataset, model))


def lookup(dataset: str, model: str) -> Callable[[str], Method]:
    """Methods by name, with their presets for a data set and network: what wrappers hold."""
    return lambda name: method(name, dataset, model=model)


def _there(chosen: Method, dataset: str, model: str) -> Method:
    """With the presets for a data set of the methods in it; what a preset changes of them stays."""
    for name, held in inside(chosen):
        changes = settings.differences(held, method(held.choice), lookup("*", ""))
        asked = {path: value for path, (value, _) in changes.items()}
        chosen = replace(chosen, **{name: method(held.choice, dataset, asked, model)})
    return chosen


def inside(chosen: Method) -> Iterator[tuple[str, Method]]:
    """The methods that a method holds, by the names of the settings that hold them."""
    held = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    yield from ((name, value) for name, value in held.items() if isinstance(value, Method))


def preset_for(known: Mapping[str, Method], dataset: str, model: str) -> str:
    """The name of the preset that is nearest to a data set and a network."""
    return next(key for key in (f"{dataset}/{model}", dataset, "*") if key in known)
