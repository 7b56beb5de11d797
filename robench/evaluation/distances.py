"""How far the nearest wrong image is that a minimum-norm attack finds, image by image.

An image is robust at eps when its distance is larger, so one run gives robust accuracy at every
radius.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import attempt, right
from robench.adversary.measure import Curve, Reading, Value
from robench.adversary.nearest.nearest import MinimumNorm, Nearness, distance
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.probes.outputs import draws
from robench.evaluation.trial import CHUNK
from robench.intervals import wilson
from robench.threat import Threat

POINTS = 41
"""Radii at which a curve is read, evenly from 0 to twice eps."""

_DRAWS = (
    "the model draws: what it gets wrong once it may get right the next time, so that no image is "
    "the nearest wrong one; a suite with EOT judges it, or Distances with more looks"
)

_BOX = Threat("Linf", 1.0)
"""All that [0, 1] allows."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Each test image's distance: 0 where it is wrong already, inf where nothing was found."""

    attack: MinimumNorm
    """What looks for it."""
    norm: Nearness | None = None
    """How distance is measured; none: in the norm of the grid's threat model."""
    eps: Annotated[float, Meta(gt=0)] | None = None
    """Where robust accuracy is read; none: at the grid's eps."""
    looks: Annotated[int, Meta(ge=1)] = 1
    """Times that a stochastic model is asked about an image; the majority is the answer."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Robust accuracy at eps and around it, the median, and how many were not broken.

        Raises:
            AttackError: the attack failed, left [0, 1] or changed the model; no eps is known; the
                model draws, and is asked once.
        """
        norm, eps = self._where(threat)
        if self.looks == 1 and draws(model, data):
            raise AttackError(_DRAWS)
        parts = torch.arange(len(data.test)).split(CHUNK)
        found = [self._chunk(model, data.test.x(part), data.test.y[part], norm) for part in parts]
        return reading(torch.cat(found), eps, _label(norm))

    def _where(self, threat: Threat) -> tuple[Nearness, float]:
        norm = self.norm or threat.norm
        if norm not in ("Linf", "L2", "L1", "L0"):
            raise AttackError(f"two images have no distance in {norm}")
        if self.eps is None and norm != threat.norm:
            raise AttackError(f"eps in {threat.norm} says nothing in {norm}; name one in {norm}")
        return norm, float(threat.eps) if self.eps is None else self.eps

    def _chunk(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Distances (B,), which the model's own answers bear out."""
        found = torch.where(right(model, x, y, self.looks), math.inf, 0.0).double()
        todo = found.isinf().nonzero().squeeze(1)
        if len(todo):
            x, y, name = x[todo], y[todo], type(self.attack).__name__
            seed = int(torch.randint(2**31, ()))

            def attack(model: nn.Module, x: Tensor, y: Tensor, _: Threat) -> Tensor:
                return self.attack(model, x, y, norm)

            x_adv = attempt(name, attack, model, x, y, _BOX, seed)
            wrong = ~right(model, x_adv, y, self.looks)
            found[todo[wrong]] = distance(x_adv, x, norm)[wrong].double()
        return found


def reading(found: Tensor, eps: float, label: str) -> Reading:
    """What distances (N,) come to; images stand at a radius where their distance is larger.

    The median is that of all images, those that are wrong already among them, and NaN where half
    of them or more were not broken.
    """
    n, stands, unbroken = len(found), int((found > eps).sum()), int(found.isinf().sum())
    median = float(np.median(found.cpu().numpy()))
    values = (
        Value("stands at eps", stands / n, n, *wilson(stands, n)),
        Value("median distance", median if math.isfinite(median) else math.nan, n),
        Value("none found", unbroken / n, n, *wilson(unbroken, n)),
    )
    x = torch.linspace(0, 2 * eps, POINTS, dtype=torch.float64)
    y = (found.cpu()[:, None] > x).double().mean(0)
    curve = Curve("robust accuracy", label, "robust accuracy", x, y)
    return Reading(values, (curve,), {"distance": found})


def _label(norm: Nearness) -> str:
    return "changed pixels" if norm == "L0" else f"{norm} radius"


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest wrong image that any of the attacks found, image by image."""

    def __call__(self, readings: Mapping[str, Reading]) -> Reading:
        """What their smallest distances come to, at the eps that all were read at."""
        found = torch.stack([of.images["distance"] for of in readings.values()]).amin(0)
        curve = next(iter(readings.values())).curves[0]
        return reading(found, float(curve.x[-1]) / 2, curve.x_label)
