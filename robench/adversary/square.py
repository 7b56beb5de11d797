"""Square Attack: random search with squares, which needs no gradient."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.blackbox.queries import Searched
from robench.adversary.hunt import Hunt
from robench.adversary.losses import margin
from robench.adversary.proposals import proposals
from robench.threat import Threat

Count = Annotated[int, Meta(ge=1)]

_SHRINKS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the area is halved (Andriushchenko et al. 2020, section 5)."""


@dataclass(frozen=True, kw_only=True)
class Square:
    """Square Attack on the margin (Andriushchenko et al. 2020, arXiv:1912.00049).

    All images of a batch share the place of a proposal, as in AutoAttack. What a deterministic
    model has already refused for an image is not asked again, nor what would leave it as it is.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    queries: Count = 5000
    """Proposals, not counting the start."""
    restarts: Count = 1
    """Random starts, each for the images that still stand."""
    area: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Share of the image that the first squares cover; the paper's p."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return f"on the margin, area halved after queries {', '.join(map(str, _SHRINKS))}"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        return self.search(model, x, y, threat).x_adv

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
        """Perturbed images, and what was asked: each start twice, and no proposal in vain."""
        hunt, asked = Hunt(x, threat), torch.zeros_like(y)
        with torch.no_grad():
            for _ in range(self.restarts):
                everyone = torch.arange(len(x), device=x.device)
                hunt.go(partial(self._search, model, asked), x, y, everyone)
        return Searched(hunt.x_adv, ~hunt.stands, asked)

    def share(self, query: int) -> float:
        """How much of the image the squares of a query cover."""
        return self.area / 2.0 ** bisect_left(_SHRINKS, query)

    def _search(
        self, model: nn.Module, asked: Tensor, x: Tensor, y: Tensor, number: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        """Perturbed images, and which of them are wrong; ``asked`` counts by image number."""
        propose = proposals(x, threat)
        best = propose.start()
        value, wrong = _judged(model, best, y)
        again, _ = _judged(model, best, y)
        asked[number] += 2
        propose.remember = bool((value - again).abs().max() <= 1e-5 * value.abs().max())
        found, fell, index = best.clone(), wrong, torch.arange(len(x), device=x.device)
        stands = ~fell
        for query in range(self.queries):
            if not stands.all():
                index, best, value, y = index[stands], best[stands], value[stands], y[stands]
                propose.keep(stands)
                stands = torch.ones_like(index, dtype=torch.bool)
            if not len(index):
                break
            rows, candidates = propose(best, query, self.share(query))
            if not len(rows):
                continue
            values, wrong = _judged(model, candidates, y[rows])
            asked[number[index[rows]]] += 1
            better = (values > value[rows]) | wrong
            taken = rows[better]
            best[taken], value[taken] = candidates[better], values[better]
            propose.accept(taken, query)
            stands[rows[wrong]] = False
            found[index[~stands]], fell[index[~stands]] = best[~stands], True
        return found, fell


def _judged(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Margins (B,), and which images are classified wrongly."""
    logits = model(x)
    return margin(logits, y), logits.argmax(1) != y
