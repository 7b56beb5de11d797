"""What attacking a cell will take: what a suite asks about an image, times what a pass takes.

What it asks is counted on a network that no attack breaks and that costs nothing, because the cost
of a suite lies in the images that stand. How many those will be, nobody knows before: half of them
for a method that trains against attacks, none for one that does not, unless validation has said.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.attack import attempt
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
"""Of the images that the unbreakable network is attacked on: 250 of digits, 32 of CIFAR-10."""

MORE_RADII = 0.2
"""Of the cost of one radius, what each further one of a sweep adds; benchmarks/README.md."""


@dataclass(frozen=True)
class Asked:
    """About one image that stands, if nothing else is said."""

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
    probes: Asked
    """Before them, about all images that are probed."""


class Unbreakable(nn.Module):
    """Sure of class 0 wherever a perturbation may lead, with gradients like any other network."""

    ways: Tensor
    mixed: Tensor

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        ways = torch.randn(math.prod(facts.shape), 16, generator=generator)
        mixed = torch.randn(16, facts.num_classes, generator=generator)
        self.register_buffer("ways", ways / ways.abs().sum(0))
        self.register_buffer("mixed", mixed / mixed.abs().sum(0))
        self.margin = 10.0

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images: between -1 and 1, and the margin for class 0."""
        logits: Tensor = x.flatten(1) @ self.ways @ self.mixed
        return logits + self.margin * F.one_hot(torch.tensor(0), logits.shape[1])


def bill(suite: Suite, facts: Facts, threat: Threat) -> Bill:
    """Count on the CPU what a suite asks about images that stand; its own arithmetic is timed."""
    model = Unbreakable(facts).eval()
    images = max(8, min(CHUNK, PIXELS // math.prod(facts.shape)))
    x = torch.rand(images, *facts.shape, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(images, dtype=torch.int64)
    seen = threat if threat.norm in NORMS else Threat("Linf", 0.0)
    few = min(images, PROBED)
    return Bill(
        {
            name: _asked(model, partial(attempt, name, attack, model, x, y, threat, 0), images)
            for name, attack in suite.attacks.items()
        },
        _asked(model, partial(probe, model, x[:few], y[:few], seen, 0), few).times(PROBED),
    )


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

    An image that falls costs the first attack, and probes nothing; most fall early.
    """
    each = {name: asked.takes(with_gradient, without) for name, asked in bill.attacks.items()}
    probes, looks = bill.probes.takes(with_gradient, without), images * without
    audited = suite.audit.attacks if suite.audit else ()
    looked = min(images, suite.audit.images) if suite.audit else 0
    whole = sum((looked if name in audited else images) * each[name] for name in each)
    return Takes(looks + images * next(iter(each.values())), looks + probes + whole)
