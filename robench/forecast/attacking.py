"""What attacking a cell will take: what a suite asks about an image, times what a pass takes.

What it asks is counted on two networks that cost next to nothing: one that no attack breaks, as the
cost of a suite lies in the images that stand, and one that the first step of any attack breaks. How
many images will stand, nobody knows before: half of them for a method that trains against attacks,
none for one that does not, unless validation has said.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt
from robench.adversary.suite import Suite
from robench.data.catalogue import Facts
from robench.evaluation.probes.probe import IMAGES as PROBED
from robench.evaluation.probes.probe import probe
from robench.evaluation.trial import CHUNK
from robench.models.passes import counted
from robench.radius import NORMS
from robench.seeds import seeded
from robench.threat import Threat

PIXELS = 100_000
"""Of the images that either network is attacked on: 250 of digits, 32 of CIFAR-10."""

MORE_RADII = 0.2
"""Of the cost of one radius, what each further one of a sweep adds; benchmarks/README.md."""


@dataclass(frozen=True)
class Asked:
    """About one image, if nothing else is said."""

    forwards: float = 0.0
    backwards: float = 0.0
    seconds: float = 0.0
    """Of the attack's own arithmetic."""

    def times(self, number: float) -> "Asked":
        """About so many."""
        return Asked(number * self.forwards, number * self.backwards, number * self.seconds)

    def takes(self, with_gradient: float, without: float) -> float:
        """Seconds, where passes of an image take so long with its gradient and without."""
        plain = max(0.0, self.forwards - self.backwards)
        return self.backwards * with_gradient + plain * without + self.seconds


@dataclass(frozen=True)
class Bill:
    """What a suite asks."""

    attacks: Mapping[str, Asked]
    """About an image that stands."""
    probes: Asked
    """Before them, about one of those that are probed, and that stands."""
    first: Asked
    """By the first attack, about an image that falls at once."""
    fallen: Asked
    """By probes, about such an image."""


class Sure(nn.Module):
    """Of class 0 by a margin, with gradients like any other network's."""

    ways: Tensor
    mixed: Tensor

    def __init__(self, facts: Facts, margin: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        ways = torch.randn(math.prod(facts.shape), 16, generator=generator)
        mixed = torch.randn(16, facts.num_classes, generator=generator)
        self.register_buffer("ways", ways / ways.abs().sum(0))
        self.register_buffer("mixed", mixed / mixed.abs().sum(0))
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images: between -1 and 1, and the margin for class 0."""
        logits: Tensor = x.flatten(1) @ self.ways @ self.mixed
        return logits + self.margin * F.one_hot(torch.tensor(0), logits.shape[1])


UNBREAKABLE = 10.0
"""A margin that no perturbation makes up for."""


def bill(suite: Suite, facts: Facts, threat: Threat) -> Bill:
    """Count on the CPU what a suite asks; its own arithmetic is timed."""
    stands, falls = (_Asking(facts, threat, margin) for margin in (UNBREAKABLE, 0.0))
    name, first = next(iter(suite.attacks.items()))
    return Bill(
        {name: stands.by(name, attack) for name, attack in suite.attacks.items()},
        stands.probes(),
        falls.by(name, first),
        falls.probes(),
    )


class _Asking:
    """Questions to a network about random images that it gets right."""

    def __init__(self, facts: Facts, threat: Threat, margin: float) -> None:
        self.model, self.threat = Sure(facts, margin).eval(), threat
        self.images = max(8, min(CHUNK, PIXELS // math.prod(facts.shape)))
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(self.images, *facts.shape, generator=generator)
        self.y = self.model(self.x).argmax(1)

    def by(self, name: str, attack: Attack) -> Asked:
        """What an attack asks about one of them."""
        given = (name, attack, self.model, self.x, self.y, self.threat, 0)
        return _asked(self.model, partial(attempt, *given), self.images)

    def probes(self) -> Asked:
        """What probes ask about one of those that they look at."""
        seen = self.threat if self.threat.norm in NORMS else Threat("Linf", 0.0)
        few = min(self.images, PROBED)
        given = (self.model, self.x[:few], self.y[:few], seen, 0)
        return _asked(self.model, partial(probe, *given), few)


def _asked(model: nn.Module, work: Callable[[], object], images: int) -> Asked:
    with counted(model) as passes, seeded(0):
        began = time.perf_counter()
        work()
        spent = time.perf_counter() - began
    return Asked(passes.forwards, passes.backwards, spent).times(1 / images)


@dataclass(frozen=True)
class Takes:
    """Seconds of an evaluation by how many images stand."""

    none: float
    every: float

    def at(self, share: float) -> float:
        """Where a share of the images stands."""
        return self.none + share * (self.every - self.none)


def takes(suite: Suite, bill: Bill, images: int, with_gradient: float, without: float) -> Takes:
    """Of an evaluation at one radius, where passes of an image take so long.

    An image that falls does so at once: most do.
    """
    each = {name: asked.takes(with_gradient, without) for name, asked in bill.attacks.items()}
    probes, fallen, first = (
        asked.takes(with_gradient, without) for asked in (bill.probes, bill.fallen, bill.first)
    )
    looks, probed = images * without, min(images, PROBED)
    audited = suite.audit.attacks if suite.audit else ()
    few = min(images, suite.audit.images) if suite.audit else 0
    whole = sum((few if name in audited else images) * each[name] for name in each)
    return Takes(looks + probed * fallen + images * first, looks + probed * probes + whole)
