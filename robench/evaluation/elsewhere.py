"""Robust accuracy in a threat model that is not the grid's, and what several of them come to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.measure import Reading, Value
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.trial import CHUNK
from robench.intervals import wilson
from robench.radius import Norm
from robench.threat import Threat

STANDS = "stands"
"""The evidence: 1 for an image that stands, 0 for one that does not."""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Which images are right as they are and stand against one attack in one threat model.

    Its radius is ``eps``, or else a share of one that is known. Where it is the grid's own norm at
    the radius of the data set's literature, nothing is unseen: the value is NaN, of no image.
    """

    attack: Attack
    norm: Norm | None = None
    """Of the attack; none: the grid's."""
    eps: Annotated[float, Meta(ge=0)] | None = None
    """Radius; none: a share."""
    share: Annotated[float, Meta(gt=0)] = 1.0
    """Of the radius in the data set's literature; where the norm is the grid's, of the grid's."""
    of: Norm | None = None
    """The norm of that radius; none: the attack's."""
    looks: Annotated[int, Meta(ge=1)] = 1
    """Times that a stochastic model is asked about an image; the majority is the answer."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Robust accuracy, of all test images, under this attack alone."""
        within = self.within(data, threat)
        if within is None:
            return Reading((Value("", float("nan"), 0),))
        parts = torch.arange(len(data.test), device=data.test.y.device).split(CHUNK)
        stands = torch.cat([self._stands(model, data, part, within) for part in parts])
        return Reading((_share("", stands),), images={STANDS: stands.double()})

    def within(self, data: Data, threat: Threat) -> Threat | None:
        """The threat model to attack in; none: it is the one that the grid asks for.

        Raises:
            AttackError: the data set has no radius in that norm.
        """
        norm = self.norm or threat.norm
        if self.eps is not None:
            return Threat(norm, self.eps)
        if self.norm is None:
            return Threat(norm, self.share * threat.eps)
        of = self.of or norm
        if norm == of == threat.norm and self.share == 1:
            return None
        if of not in data.facts.eps:
            raise AttackError(f"{data.name} has no radius in {of}")
        return Threat(norm, self.share * float(data.facts.eps[of]))

    def _stands(self, model: nn.Module, data: Data, part: Tensor, threat: Threat) -> Tensor:
        """For some images at once, (K,); only those that are right are attacked."""
        x, y = data.test.x(part), data.test.y[part]
        stands = right(model, x, y, self.looks)
        todo = stands.nonzero().squeeze(1)
        if len(todo) and threat.eps:
            name, seed = type(self.attack).__name__, int(torch.randint(2**31, ()))
            x_adv = attempt(name, self.attack, model, x[todo], y[todo], threat, seed)
            stands[todo] = right(model, x_adv, y[todo], self.looks)
        return stands


@dataclass(frozen=True, kw_only=True)
class Overall:
    """Images that stand in every threat model, and the mean accuracy over threat models.

    The two numbers of Laidlaw et al. 2021 (arXiv:2006.12655).
    """

    without: tuple[str, ...] = ()
    """Measures that are left out of both."""

    def __call__(self, readings: Mapping[str, Reading]) -> Reading:
        """``union``, image by image, and ``mean over threats``; NaN where there is none.

        Measures without evidence are left out as well.
        """
        found = [
            reading.images[STANDS]
            for name, reading in readings.items()
            if name not in self.without and STANDS in reading.images
        ]
        if not found:
            names = "union", "mean over threats"
            return Reading(tuple(Value(name, float("nan"), 0) for name in names))
        threats = torch.stack(found)
        union = threats.amin(0)
        mean = Value("mean over threats", threats.mean().item(), threats.shape[1])
        return Reading((_share("union", union > 0), mean), images={STANDS: union})


def _share(name: str, stands: Tensor) -> Value:
    count, n = int(stands.sum()), len(stands)
    return Value(name, count / n, n, *wilson(count, n))
