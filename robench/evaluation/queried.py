"""How many questions an attack needs that is given answers and no gradients."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from robench.adversary.attack import attempt, right
from robench.adversary.blackbox.queries import Search, Searched
from robench.adversary.eot import Averaged
from robench.adversary.measure import Curve, Reading, Value
from robench.data.load import Data
from robench.evaluation.probes.outputs import draws
from robench.evaluation.trial import CHUNK
from robench.intervals import wilson
from robench.threat import Threat

DRAWS = 10
"""Answers of a model that draws that make one: a single one may be wrong by luck."""

STANDS = -1.0
"""In place of the number of questions, of an image that no question broke."""


@dataclass(frozen=True, kw_only=True)
class Queried:
    """One attack on every image that is right as it is, and after how many questions it fell.

    An image falls when the model is wrong on what the attack returned; what it says is not trusted.
    A model that draws answers with the mean of several draws, each of which is a question, and is
    wrong on an image when most of as many new draws are.
    """

    attack: Search
    """Asked for its questions, too."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Robust accuracy at the end and against questions; the median of what fell."""
        parts = torch.arange(len(data.test)).split(CHUNK)
        each = DRAWS if draws(model, data) else 1
        queries = torch.cat([self._asked(model, data, part, threat, each) for part in parts])
        fell = queries[queries > 0]
        x = _places(self.attack.queries)
        y = 1 - ((queries >= 0) & (queries <= x[:, None])).double().mean(1)
        median = fell.quantile(0.5).item() if len(fell) else math.nan
        return Reading(
            (robust("", queries), Value("median queries", median, len(fell))),
            (Curve("robust accuracy", "queries", "robust accuracy", x, y),),
            {"queries": queries},
        )

    def _asked(
        self, model: nn.Module, data: Data, part: Tensor, threat: Threat, each: int
    ) -> Tensor:
        """Questions (K,) up to the fall, ``each`` draws each; 0: wrong as it is; -1: it stands."""
        x, y = data.test.x(part), data.test.y[part]
        stands = right(model, x, y, each)
        queries = torch.where(stands, STANDS, 0.0).double()
        if not stands.any() or not threat.eps:
            return queries.cpu()
        target, attack = model, self.attack
        if each > 1:
            target = Averaged(model, each)
            attack = replace(attack, queries=attack.queries // each)  # type: ignore[type-var]
        recorder = _Recorder(attack)
        name, seed = type(attack).__name__, int(torch.randint(2**31, (1,)))
        x_adv = attempt(name, recorder, target, x[stands], y[stands], threat, seed)
        fell = ~right(model, x_adv, y[stands], each)
        asked = each * recorder.found[-1].queries.double()
        queries[stands] = torch.where(fell, asked, STANDS)
        return queries.cpu()


@dataclass(frozen=True)
class _Recorder:
    """An attack whose questions are kept."""

    attack: Search
    found: list[Searched] = field(default_factory=list)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        self.found.append(self.attack.search(model, x, y, threat))
        return self.found[-1].x_adv


def worst_of_all(readings: Mapping[str, Reading]) -> Reading:
    """What stands against every attack, image by image, and the fewest questions that broke one.

    The questions are those of a single attack: each has a whole budget of its own.
    """
    every = torch.stack([reading.images["queries"] for reading in readings.values()])
    fewest = torch.where(every == STANDS, torch.inf, every).amin(0)
    queries = torch.where(fewest.isinf(), STANDS, fewest)
    return Reading((robust("worst of all", queries),), images={"queries": queries})


def robust(name: str, queries: Tensor) -> Value:
    """The share of images (N,) that stand, with its Wilson interval."""
    count, n = int((queries == STANDS).sum()), len(queries)
    return Value(name, count / n, n, *wilson(count, n))


def _places(budget: int) -> Tensor:
    """Numbers of questions, about ten in a factor of ten, from one to the budget."""
    count = round(10 * math.log10(budget)) + 1
    spaced = torch.logspace(0, math.log10(budget), count, dtype=torch.float64)
    return spaced.round().unique()
