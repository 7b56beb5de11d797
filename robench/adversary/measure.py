"""What a suite may say of a trained model besides robust accuracy: numbers and curves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from robench.data.load import Data
from robench.errors import AttackError
from robench.threat import Threat


@dataclass(frozen=True)
class Value:
    """One number."""

    name: str
    value: float
    """NaN: it is not defined here."""
    n: int
    """Images that it rests on."""
    low: float | None = None
    """95 % interval, where there is one."""
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """One quantity against another; points at the same x for every model, so that seeds average."""

    name: str
    x_label: str
    y_label: str
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Reading:
    """What a measure found."""

    values: tuple[Value, ...]
    curves: tuple[Curve, ...] = ()
    images: dict[str, Tensor] = field(default_factory=dict)
    """The evidence, a number for each image, (N,); kept with the outcomes."""


class Measure(Protocol):
    """Anything that looks at a model; a plain function will do."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat, /) -> Reading:
        """Numbers of the test part; the model is in eval mode, torch's generators are seeded."""
        ...


Together = Callable[[Mapping[str, Reading]], Reading]
"""The readings of a suite's measures, by name, to what they come to: image by image, not on average
where that can be helped."""


def features(model: nn.Module, x: Tensor, chunk: int = 500) -> Tensor:
    """Features (N, width) of images, without gradient.

    Raises:
        AttackError: the model has none.
    """
    ask = getattr(model, "features", None)
    if not callable(ask):
        raise AttackError(f"{type(model).__name__} has no features to look at")
    with torch.no_grad():
        return torch.cat([ask(part) for part in x.split(chunk)])
