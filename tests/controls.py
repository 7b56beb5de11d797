"""Classifiers that look robust without being so, each by one known trick, and honest ones.

robench must catch the former and leave the latter alone. All are trained in seconds on digits of
scikit-learn, where nothing undefended stands at Linf 3/16.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.load import Data, load
from robench.models.catalogue import build
from robench.models.classifier import Classifier, Network
from robench.threat import Threat
from robench.training.method import Method, method
from robench.training.recipe import Recipe
from robench.training.recipes import RECIPES
from robench.training.train import train

THREAT = Threat("Linf", 3 / 16)

FAST = {"attack.steps": 2}
"""Settings of adversarial training."""

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Control:
    """A classifier, and the flags that must go up for it."""

    make: Callable[[], nn.Module]
    flags: frozenset[str]


@cache
def digits() -> Data:
    """Scikit-learn's digits, split."""
    return load("digits", Path(), torch.device("cpu"))


def fitted(
    how: Method, make: Callable[[], Network], data: Data, recipe: Recipe, threat: Threat
) -> Network:
    """A network trained by a method of robench, in eval mode."""
    trained = train(how, make, data, recipe, threat, 0, lambda event: None)
    model, prefix = make(), "model."
    tensors = trained.last.tensors.items()
    model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors if k.startswith(prefix)})
    return model.eval()


def undefended(epochs: int, make: Callable[[], Network] | None = None) -> Network:
    """A small network, or another one, trained on the digits as they are."""
    recipe = replace(RECIPES["digits"], epochs=epochs, validate_every=epochs)
    return fitted(method("natural"), make or tinycnn, digits(), recipe, THREAT)


def digitscnn() -> Network:
    """The network that digits are trained with by default."""
    return build("digitscnn", digits().facts, normalise=False)


def tinycnn() -> Network:
    """One that attacks go through in half the time; it is too small for adversarial training."""
    return build("digitscnn-tiny", digits().facts, normalise=False)


@cache
def natural() -> Network:
    """Honest and undefended: no trick on top of it makes it robust."""
    return undefended(5)


@cache
def beginner() -> Network:
    """Honest, undefended, and wrong often enough that a step could put something right."""
    return undefended(1)


@cache
def madry() -> Network:
    """Honest and adversarially trained."""
    recipe = replace(RECIPES["digits"], epochs=8, validate_every=8)
    return fitted(method("madry", changes=FAST), digitscnn, digits(), recipe, THREAT)


class Changed(nn.Module):
    """A classifier whose images or logits are changed on the way."""

    def __init__(
        self, model: nn.Module, before: Change = torch.clone, after: Change = torch.clone
    ) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.model(self.before(x)))


class Rounded(nn.Module):
    """Pixels to the nearest of a few levels: a staircase, flat nearly everywhere."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.steps = levels - 1

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.steps).round() / self.steps


class Thermometer(nn.Module):
    """A channel for each level that a pixel exceeds (Buckman et al. 2018); the gradient is zero."""

    levels: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.register_buffer("levels", torch.arange(levels).view(-1, 1, 1) / levels)

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.levels).to(x.dtype) + 0 * x  # zero, because training needs some gradient


class KWinners(nn.Module):
    """All but the largest activations of a layer are zero (Xiao et al. 2020, arXiv:1905.10510)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, int(self.share * flat.shape[1])), dim=1).values[:, -1:]
        return (flat * (flat >= least)).view_as(x)


class Constant(nn.Module):
    """One answer to everything."""

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(torch.full((len(x),), 3), 10).to(x.dtype)


def rounded(levels: int = 4) -> Network:
    """The undefended network behind rounded pixels; a classifier with features."""
    base = natural()
    return Classifier(nn.Sequential(Rounded(levels), base.body), base.head).eval()


def small(first: nn.Module, channels: int, activation: Callable[[], nn.Module]) -> Network:
    """Two convolutions and a hidden layer behind a first module."""
    body = nn.Sequential(
        first,
        nn.Conv2d(channels, 32, 3, padding=1), nn.BatchNorm2d(32), activation(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), activation(),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128), activation(),
    )  # fmt: skip
    return Classifier(body, nn.Linear(128, 10))


@cache
def k_winners() -> Network:
    """Discontinuous everywhere, so that the gradient says little of what is a step away."""
    return undefended(5, lambda: small(nn.Identity(), 1, lambda: KWinners(0.05)))


@cache
def thermometer() -> Network:
    """A network trained behind an encoding without gradient."""
    return undefended(5, lambda: small(Thermometer(8), 8, nn.ReLU))


def shifted(x: Tensor) -> Tensor:
    """Images resized and moved by chance, a draw for the whole batch."""
    side = int(torch.randint(6, 9, ()))
    left, top = (int(torch.randint(0, 9 - side, ())) for _ in range(2))
    small = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
    return F.pad(small, (left, 8 - side - left, top, 8 - side - top))


def hooked(change: Callable[[Tensor, Tensor], Tensor]) -> Change:
    """Images as they are, whose gradient is changed; ``change`` is given the image, too."""

    def before(x: Tensor) -> Tensor:
        if not x.requires_grad:
            return x
        out = x.view_as(x)
        out.register_hook(lambda grad: change(x.detach(), grad))
        return out

    return before


def one_row(x: Tensor, grad: Tensor) -> Tensor:
    """The gradient in one row of each image, another one each time: a step moves eight pixels."""
    row = (1e4 * x.flatten(1).sum(1)).long() % x.shape[2]
    return grad * F.one_hot(row, x.shape[2]).view(len(x), 1, -1, 1)


def elsewhere(x: Tensor, grad: Tensor) -> Tensor:
    """The gradient of an image with 16 grey levels, and the opposite of any other image's."""
    stored = (16 * x).frac().flatten(1).amax(1) == 0
    return torch.where(stored.view(-1, 1, 1, 1), grad, -grad)


CONTROLS: Mapping[str, Control] = {
    "logits x 10,000": Control(
        lambda: Changed(natural(), after=lambda z: 10_000 * z),
        frozenset({"logit-scale", "unchanged"}),
    ),
    "temperature 1/100": Control(
        lambda: Changed(natural(), after=lambda z: (100 * z).log_softmax(1)),
        frozenset({"logit-scale", "unchanged"}),
    ),
    "softmax": Control(
        lambda: Changed(natural(), after=lambda z: z.softmax(1)), frozenset({"probabilities"})
    ),
    "saturated softmax": Control(
        lambda: Changed(natural(), after=lambda z: (100 * z).softmax(1)),
        frozenset({"probabilities", "zero-gradients", "unchanged"}),
    ),
    "rounded": Control(
        rounded, frozenset({"zero-gradients", "unchanged", "full-range", "black-box-wins"})
    ),
    "thermometer": Control(
        thermometer, frozenset({"zero-gradients", "unchanged", "full-range", "black-box-wins"})
    ),
    "k winners": Control(k_winners, frozenset({"silent-success"})),
    "noise": Control(
        lambda: Changed(natural(), before=lambda x: x + 0.1 * torch.randn_like(x)),
        frozenset({"random"}),
    ),
    "resize": Control(lambda: Changed(natural(), before=shifted), frozenset({"random"})),
    "gradient reversed": Control(
        lambda: Changed(beginner(), before=hooked(lambda x, grad: -grad)),
        frozenset({"full-range", "single-step-above-natural"}),
    ),
    "gradient reversed off the image": Control(
        lambda: Changed(natural(), before=hooked(elsewhere)), frozenset({"fgsm-wins"})
    ),
    "gradient row by row": Control(
        lambda: Changed(natural(), before=hooked(one_row)), frozenset({"not-converged"})
    ),
    "constant": Control(lambda: Constant().eval(), frozenset({"zero-gradients", "full-range"})),
}
"""By the name that a table gives them."""
