"""The binarisation test: can an attack find what is there by construction?

For every image the last layer is replaced by a new one with two classes: many points of a smaller
ball around the image on one side, one point at the rim on the other. So there is an adversarial
example, and an attack that does not find it says nothing about the model whose features it climbed
(Zimmermann et al. 2022, arXiv:2206.13991).

Where we depart from the authors' code: half of the inner points lie at their ball's rim, because
otherwise noise at the larger rim is an answer by itself (it was for 22 of 32 digits); and the new
layer is a ridged linear discriminant, which needs no iterations.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt
from robench.device import full_precision
from robench.errors import ConfigError
from robench.seeds import derive, seeded
from robench.threat import Threat

IMAGES = 64
"""Tested when nothing else is asked for; the paper tests 512, and each takes a whole attack."""

INNER = 999
"""Random points inside, as in the paper; the image itself is one more."""

GAP = 0.05
"""Of eps, between those points and the rim; as in the authors' code."""

CLOSENESS = 0.999
"""Where the boundary lies between the nearest inner point and the one at the rim; as there."""

RIDGE = 1.0
"""Times the features' mean variance, added to each. With 0.01 the new layer lives on directions in
which features hardly vary, and APGD missed 1 to 4 of 32 on honest networks; so it misses none."""

TRIES = 10
"""Points at the rim that are tried until one can be told from all inner points by its features."""

PASS = 0.95
"""Least success rate of an attack that can be believed; the paper's."""


@dataclass(frozen=True)
class BinarisationResult:
    """Counts of images."""

    tested: int
    """Those for which two such classes could be told apart."""
    broken: int
    """Those for which the attack found the other class."""
    random_broken: int
    """Those for which any of 1,000 random points did; where many, the test was too easy."""

    @property
    def success(self) -> float:
        """Share of the tested images that the attack broke; 0 when none was tested."""
        return self.broken / max(self.tested, 1)

    @property
    def random_success(self) -> float:
        """Share of the tested images that random points broke."""
        return self.random_broken / max(self.tested, 1)

    @property
    def passed(self) -> bool:
        """Whether the attack can be believed on this model."""
        return self.tested > 0 and self.success >= PASS


class Featured(Protocol):
    """Like ``Classifier``: a module in eval mode, with the features before its last layer."""

    def features(self, x: Tensor) -> Tensor:
        """Vectors (B, width) of images (B, C, H, W)."""
        ...


def binarisation(
    model: Featured, x: Tensor, threat: Threat, attack: Attack, seed: int, images: int = IMAGES
) -> BinarisationResult:
    """Try an attack on new two-class layers over a model's features, a layer an image.

    The first ``images`` of ``x`` are tried. The model stays as it is.

    Raises:
        ConfigError: the model has no ``features``.
        AttackError: the attack fails, or breaks the rules.
    """
    if not callable(getattr(model, "features", None)):
        raise ConfigError(f"{type(model).__name__} has no features to put a new layer on")
    tested = broken = random_broken = 0
    with full_precision():
        for number, image in enumerate(x[:images].split(1)):
            stream = derive(seed, "binarisation", number)
            with seeded(stream):
                task = _task(model, image, threat)
                if task is None:
                    continue
                noise = _spread(image, threat, INNER + 1)
            found = attempt("binarisation", attack, task, image, _inside(image), threat, stream)
            tested += 1
            broken += _crosses(task, found)
            random_broken += _crosses(task, noise)
    return BinarisationResult(tested, broken, random_broken)


class _TwoClasses(nn.Module):
    """Class 0 is inside, class 1 at the rim; a module with a linear layer on a model's features."""

    def __init__(self, model: Featured, normal: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.model, self.normal, self.offset, self.training = model, normal, offset, False

    def forward(self, x: Tensor) -> Tensor:
        score = self.model.features(x) @ self.normal - self.offset
        logits = torch.stack([-score, score], dim=1)
        return logits + 0 * x.flatten(1).sum(1, keepdim=True)  # a zero gradient is one, too


@torch.no_grad()
def _task(model: Featured, image: Tensor, threat: Threat) -> _TwoClasses | None:
    """Two classes with the image in the first; none where no point at the rim can be told apart."""
    smaller = Threat(threat.norm, (1 - GAP) * threat.eps)
    inner = model.features(torch.cat([image, _spread(image, smaller, INNER)])).double()
    for _ in range(TRIES):
        rim = model.features(_at_rim(image, threat)).double()[0]
        normal = _discriminant(inner, rim)
        scores, goal = inner @ normal, rim @ normal
        nearest = scores.max()
        if goal - nearest > 1e-3 * (goal - scores.mean()):  # well above rounding
            scale = goal - scores.mean()
            offset = nearest + CLOSENESS * (goal - nearest)
            return _TwoClasses(model, (normal / scale).to(image), (offset / scale).to(image))
    return None


def _discriminant(inner: Tensor, rim: Tensor) -> Tensor:
    """The direction that tells a point from a cloud best, (width,)."""
    middle = inner.mean(0)
    spread = (inner - middle).T @ (inner - middle) / len(inner)
    ridge = RIDGE * spread.diagonal().mean() * torch.eye(len(middle)).to(spread)
    return torch.linalg.lstsq(spread + ridge, (rim - middle)[:, None]).solution[:, 0]


def _spread(image: Tensor, threat: Threat, count: int) -> Tensor:
    """Random points of a ball, half of them at its rim."""
    copies = image.expand(count, *image.shape[1:])
    half = count // 2
    return torch.cat([threat.random_start(copies[half:]), _at_rim(copies[:half], threat)])


def _at_rim(x: Tensor, threat: Threat) -> Tensor:
    """A random corner of the ball in Linf, any direction in L2, cut to [0, 1]."""
    return threat.project(x + threat.eps * threat.direction(torch.randn_like(x)), x)


@torch.no_grad()
def _crosses(task: nn.Module, x: Tensor) -> bool:
    """Whether any of the images is in the second class."""
    return bool((task(x).argmax(1) == 1).any())


def _inside(image: Tensor) -> Tensor:
    """The label of the first class."""
    return torch.zeros(len(image), dtype=torch.long, device=image.device)
