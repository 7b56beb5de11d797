"""What is trained in a turn: the same images, batches, weights and steps for every side."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from robench.data.batches import shuffled
from robench.data.load import Data, load
from robench.models.catalogue import build
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.recipe import Recipe
from robench.training.recipes import RECIPES

INNER = 10
"""Steps of PGD."""

Turn = Callable[[], object]
"""Trains one turn; what it needs was made before."""


@dataclass(frozen=True)
class Task:
    """A network with its data, and how many updates a turn has."""

    name: str
    model: nn.Module
    """With the weights that every side starts from."""
    data: Data
    """As many training images as a turn has."""
    recipe: Recipe
    order: Tensor
    """In which all sides see the images."""
    updates: int
    threat: Threat = field(default_factory=lambda: Threat("Linf", 0.0))

    @property
    def step_size(self) -> float:
        """Of PGD, robench's own rule."""
        return 2.5 * float(self.threat.eps) / INNER

    def network(self) -> nn.Module:
        """A new one."""
        return copy.deepcopy(self.model)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """As loops that people copy make it."""
        recipe = self.recipe
        if recipe.optimizer == "adam":
            return torch.optim.Adam(
                model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
            )
        return torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )


@dataclass(frozen=True)
class Extent:
    """How much a turn is."""

    dataset: str
    model: str
    batch: int
    updates: int

    def of(self, method: str) -> "Extent":
        """Natural steps are short: a turn has more of them."""
        return replace(self, updates=4 * self.updates) if method == "natural" else self


NETWORKS: Mapping[str, Extent] = {
    "digits": Extent("digits", "digitscnn", 64, 16),
    "mnist": Extent("mnist", "smallcnn", 128, 2),
    "cifar10": Extent("cifar10", "resnet18", 16, 1),
}
QUICK: Mapping[str, Extent] = {
    "digits": replace(NETWORKS["digits"], updates=8),
    "mnist": replace(NETWORKS["mnist"], batch=64, updates=1),
    "cifar10": replace(NETWORKS["cifar10"], batch=4),
}


def task(extent: Extent, root: Path) -> Task:
    """Images, weights, and a recipe whose rate stays where it is: a turn is no whole training."""
    count = extent.batch * extent.updates
    data = load(extent.dataset, root, torch.device("cpu"), train_limit=count)
    own = RECIPES[extent.dataset]
    recipe = replace(own, batch_size=extent.batch, schedule="constant", epochs=1, lr=own.lr / 10)
    with seeded(0):
        model = build(extent.model, data.facts, normalise=recipe.normalise)
    order = shuffled(data.train, torch.Generator().manual_seed(0))
    threat = Threat("Linf", float(data.facts.eps["Linf"]))
    return Task(
        f"{extent.dataset}, {extent.model}", model, data, recipe, order, extent.updates, threat
    )
