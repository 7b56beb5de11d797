"""Accuracy under 15 common corruptions at five severities, and by how much it falls.

After Hendrycks & Dietterich 2019 (arXiv:1903.12261). Their mCE divides errors by AlexNet's on
ImageNet, which other data sets have none of: here it is the plain mean error, and a report divides
errors by those of natural training.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import right
from robench.adversary.measure import Curve, Reading, Value
from robench.data.cifar10c import FOLDER, Published
from robench.data.corruptions.catalogue import KINDS, SEVERITIES, shown
from robench.data.corruptions.made import corrupt
from robench.data.load import Data
from robench.errors import AttackError, DataError
from robench.evaluation.probes.outputs import random
from robench.threat import Threat

Looks = Annotated[int, Meta(ge=1)]

_CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """Test images are corrupted here, the same way for every model."""

    seed: Annotated[int, Meta(ge=0)] = 0
    """Of what corruptions draw; the cell's own has no part in it."""
    looks: Looks = 10
    """At each image by a model that draws; the majority is the answer."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Accuracies by kind, family and severity; the threat model has no part in it."""
        x = data.test.x()
        return _read(model, data, lambda kind, k: corrupt(x, kind, k, self.seed), self.looks)


@dataclass(frozen=True, kw_only=True)
class CorruptedFiles:
    """The published files of CIFAR-10-C, where the data set is CIFAR-10."""

    looks: Looks = 10
    """At each image by a model that draws; the majority is the answer."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Accuracies by kind, family and severity; one that is not defined for other data sets."""
        if data.name != "cifar10" or data.root is None:
            return Reading((Value("mean accuracy", float("nan"), len(data.test)),))
        files = Published(data.root / FOLDER)
        try:
            files.check(data.test)
            return _read(
                model, data, lambda kind, k: files.version(kind, k, data.test.origin), self.looks
            )
        except DataError as error:
            raise AttackError(str(error)) from error


def _read(
    model: nn.Module, data: Data, version: Callable[[str, int], Tensor], looks: int
) -> Reading:
    """What a model makes of every version, uint8 (N, C, H, W), of the test images."""
    if random(model, data.test.first(32).x()).status == "ok":
        looks = 1
    natural = _right(model, data.test.x(), data, looks)
    survived = torch.stack(
        [
            torch.stack([_right(model, version(kind, k) / 255, data, looks) for k in SEVERITIES])
            for kind in KINDS
        ]
    ).double()  # (kinds, severities, N)
    by_severity = survived.mean((0, 2))
    curve = Curve(
        "accuracy by severity", "severity", "mean accuracy over all kinds",
        torch.tensor(SEVERITIES), by_severity,
    )  # fmt: skip
    values = tuple(_values(natural.double(), survived))
    return Reading(values, (curve,), {"survived": survived.sum((0, 1))})


def _right(model: nn.Module, x: Tensor, data: Data, looks: int) -> Tensor:
    """Which images (N,) are right, on the CPU."""
    y = data.test.y
    parts = zip(x.split(_CHUNK), y.split(_CHUNK), strict=True)
    return torch.cat([right(model, part.to(y.device), label, looks) for part, label in parts]).cpu()


def _values(natural: Tensor, survived: Tensor) -> Iterator[Value]:
    whole, kinds = survived.mean((0, 1)), list(KINDS)
    yield _mean("mean accuracy", whole)
    yield _mean("natural accuracy", natural)
    yield _mean("accuracy lost", natural - whole, least=-1)
    yield _mean("mean corruption error", 1 - whole)
    for family in dict.fromkeys(KINDS.values()):
        own = [at for at, kind in enumerate(kinds) if KINDS[kind] == family]
        yield _mean(f"{family}, mean", survived[own].mean((0, 1)))
        for at in own:
            yield _mean(shown(kinds[at]), survived[at].mean(0))


def _mean(name: str, shares: Tensor, least: float = 0) -> Value:
    """Over images, (N,), with an interval that covers which images there are.

    It rests on the normal distribution, and says nothing where all images are alike.
    """
    mean, n = shares.mean().item(), len(shares)
    half = 1.96 * shares.std().item() / n**0.5 if n > 1 else 0.0
    if not half:
        return Value(name, mean, n)
    return Value(name, mean, n, max(mean - half, least), min(mean + half, 1.0))
