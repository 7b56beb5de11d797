"""Retrieval by features: is the nearest of the other images of the same class, if attacked, too?

Recall@1 with natural and with attacked queries, as Panum et al. 2021 (arXiv:2102.07265) compare
metrics; the attack is ours. Nothing of it depends on what a network predicts.
"""

from dataclasses import dataclass, field
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import checked
from robench.adversary.measure import Reading, Value, features
from robench.adversary.pgd import PGD
from robench.data.load import Data
from robench.errors import AttackError
from robench.intervals import wilson
from robench.models.classifier import Network
from robench.threat import Threat

CHUNK = 250


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Each test image asks for its class among the others, which stay as they are."""

    attack: PGD = field(default_factory=lambda: PGD(steps=20))
    """Away from the nearest item of its class and towards the nearest of another, at each step
    anew; a query stops where the latter is nearer."""
    restarts: Annotated[int, Meta(ge=1)] = 3
    """Starts, each for the queries that are still answered rightly."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Shares of the queries whose nearest item is of their class; one without any is none."""
        x, y = data.test.x(), data.test.y
        gallery = Gallery(_finite(F.normalize(features(model, x))), y)
        places = torch.arange(len(y), device=y.device)
        natural = torch.cat([gallery.margin(gallery.items[p], p) for p in places.split(CHUNK)])
        attacked = self._worst(Embedding(model), gallery, x, natural, threat)
        asked = y.bincount()[y] > 1
        values = _recall("natural", natural[asked]), _recall("attacked", attacked[asked])
        return Reading(values, images={"natural": natural, "attacked": attacked})

    def _worst(
        self, model: nn.Module, gallery: "Gallery", x: Tensor, natural: Tensor, threat: Threat
    ) -> Tensor:
        """The largest margin of each query that was found, (N,)."""
        worst = natural.clone()
        for _ in range(self.restarts):
            todo = (worst < 0).nonzero().squeeze(1)
            for part in todo.split(CHUNK) if len(todo) else ():
                x_adv = self.attack(model, x[part], part, threat, gallery.margin, _is_wrong)
                with torch.no_grad():
                    found = _finite(model(checked("query", x_adv, x[part], threat)))
                worst[part] = torch.maximum(worst[part], gallery.margin(found, part))
        return worst


class Embedding(nn.Module):
    """A model's features at unit length."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) of images in [0, 1]."""
        return F.normalize(cast(Network, self.model).features(x))


@dataclass(frozen=True)
class Gallery:
    """What queries are answered from."""

    items: Tensor
    """(N, width), of unit length."""
    y: Tensor

    def margin(self, found: Tensor, places: Tensor) -> Tensor:
        """By how much the nearest item of another class is nearer, in squared distance, (B,).

        Negative: the answer is right. ``places``, (B,), are the queries' own, which is no answer.
        """
        far = -2.0  # under every cosine
        cosines = (found @ self.items.T).scatter(1, places[:, None], far)
        alike = self.y[places, None] == self.y
        own, other = (cosines.masked_fill(hidden, far).amax(1) for hidden in (~alike, alike))
        return 2 * (other - own)  # the squared distance is 2 - 2 cosine


def _is_wrong(found: Tensor, margins: Tensor, step: int) -> Tensor:
    return margins >= 0


def _finite(found: Tensor) -> Tensor:
    if not found.isfinite().all():
        raise AttackError("the model's features are not finite")
    return found


def _recall(queries: str, margins: Tensor) -> Value:
    name, n, right = f"recall@1 of {queries} queries", len(margins), int((margins < 0).sum())
    return Value(name, right / n, n, *wilson(right, n)) if n else Value(name, float("nan"), 0)
