"""The recipes that are ready: by name, then by data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from robench import names
from robench.training.recipe import Recipe

_CIFAR = Recipe()

RECIPES: Mapping[str, Recipe] = {
    # Ours, chosen on the validation part.
    "digits": Recipe(
        epochs=24,
        batch_size=64,
        optimizer="adam",
        lr=6e-3,
        weight_decay=0.0,
        schedule="cyclic",
        augment="crop",
        pad=1,
        normalise=False,
        validate_every=4,
    ),
    # TRADES' script for MNIST: one drop after epoch 55 of 100 (its later ones are never reached).
    "mnist": Recipe(
        epochs=100,
        lr=0.01,
        weight_decay=0.0,
        milestones=(0.55,),
        augment="none",
        normalise=False,
    ),
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "svhn": Recipe(augment="crop", lr=0.01),  # ours: digits have no mirror image
    "imagenette": Recipe(epochs=90, batch_size=64, milestones=(0.5, 0.75), pad=16),  # ours
    # The rates of He et al. 2016 (arXiv:1512.03385), a tenth after each third; the rest is ours.
    "imagenet": Recipe(
        epochs=90, batch_size=256, milestones=(1 / 3, 2 / 3), weight_decay=1e-4, pad=16
    ),
}
RECIPES = {**RECIPES, "fashion-mnist": RECIPES["mnist"], "kmnist": RECIPES["mnist"]}
"""Each data set's own: the authors' where there are any."""


# A rate that rises and falls within 30 epochs: of N-FGSM (de Jorge et al. 2022, arXiv:2202.01181)
# on CIFAR and SVHN, else ours. The rates of digits and MNIST were chosen on the validation part
# (benchmarks/README.md).
_FAST: Mapping[str, Recipe] = {
    "digits": replace(RECIPES["digits"], epochs=15, lr=1e-2),
    **dict.fromkeys(
        ("mnist", "fashion-mnist", "kmnist"),
        replace(RECIPES["mnist"], epochs=15, optimizer="adam", lr=2e-3),
    ),
    **dict.fromkeys(("cifar10", "cifar100"), replace(_CIFAR, epochs=30, lr=0.2)),
    "svhn": replace(RECIPES["svhn"], epochs=30, lr=0.05),
    **{name: replace(RECIPES[name], epochs=30) for name in ("imagenette", "imagenet")},
}


@dataclass(frozen=True)
class Ready:
    """A recipe for every data set."""

    summary: str
    of: Callable[[str], Recipe]
    """By the data set's name."""
    remark: str = ""
    """What a person should know before a run."""


def _fast(dataset: str) -> Recipe:
    return replace(_FAST[dataset], schedule="cyclic", bf16=True)


def _smoke(dataset: str) -> Recipe:
    return replace(RECIPES[dataset], epochs=2, validation_images=100, validation_steps=3)


READY: Mapping[str, Ready] = {
    "paper": Ready("each data set's own: the authors', where there are any", lambda d: RECIPES[d]),
    "fast": Ready("15 to 30 epochs of a rate that rises and falls; bfloat16 on CUDA", _fast),
    "smoke": Ready(
        "two epochs, to see that things run", _smoke, "its numbers say nothing of a method"
    ),
}


def recipe(name: str, dataset: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    return READY[names.known("recipe", name, READY)].of(dataset)
