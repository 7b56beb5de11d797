"""RayS: which signs, by predicted classes alone."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.blackbox.queries import Oracle, Searched
from robench.errors import AttackError
from robench.threat import Threat, per_image

Count = Annotated[int, Meta(ge=1)]

TOLERANCE = 1e-3
"""Length in L2 of what is left when a radius is known well enough; as in the authors' code."""


@dataclass(frozen=True, kw_only=True)
class RayS:
    """The ray of signs whose boundary is nearest (Chen & Gu 2020, arXiv:2006.12792); Linf.

    A part of the signs is turned round, then halves of it and so on down to single pixels; what is
    wrong at the smallest radius so far is halved down to its own. Where a whole round of single
    pixels changes nothing the authors would ask the same again; here it begins anew, from random
    signs. All images of a batch share those, so what comes of one does not depend on the others.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    queries: Count = 5000
    """Forward passes of an image."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        return self.search(model, x, y, threat).x_adv

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
        """Perturbed images, and the questions that they cost."""
        return self.nearest(model, x, y, threat)[0]

    def nearest(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat
    ) -> tuple[Searched, Tensor]:
        """Likewise, and the smallest radii (B,) of wrong images, in or out of the ball.

        Where there is none, it is infinite.
        """
        if threat.norm != "Linf":
            raise AttackError(f"RayS turns signs round, which are steps in Linf, not {threat.norm}")
        oracle, rays = Oracle(model, x, y, threat, self.queries), _Rays(x)
        rows = oracle.every()
        while len(rows := oracle.open(rows)):
            wrong = oracle.wrong(rows, rays.asked(rows)[:, None])[:, 0]
            rays.learn(rows, wrong)
        return oracle.found(), rays.nearest


class _Rays:
    """One ray for each image, and what has become of it; radii are in [0, 1] pixel units."""

    def __init__(self, x: Tensor) -> None:
        count, size = len(x), x.shape[1:].numel()
        self.x, self.size = x, size
        self.nearest = torch.full((count,), torch.inf, device=x.device, dtype=x.dtype)
        """The smallest radius of any ray."""
        self._signs = torch.ones(count, size, device=x.device, dtype=x.dtype)
        """The best ray since the last beginning, and its radius."""
        self._radius = self.nearest.clone()
        self._tried = self._signs.clone()
        """The ray that is asked about."""
        self._low, self._high = torch.zeros_like(self.nearest), torch.ones_like(self.nearest)
        self._halving = torch.zeros(count, device=x.device, dtype=torch.bool)
        """Whether it is known to be nearer than the best."""
        self._width = torch.full((count,), 2 * size, device=x.device)
        """Pixels in a part; half as many in the next round."""
        self._begin = torch.full((count,), size, device=x.device)
        """Where the next part begins; the first ray has none turned round."""
        self._changed = torch.ones_like(self._halving)
        """Whether this round of parts found a better ray."""
        self._anew = torch.zeros(count, device=x.device, dtype=torch.long)
        """Beginnings after the first."""
        self._starts = self._signs[:0]
        """Their signs, the same for every image."""

    def asked(self, rows: Tensor) -> Tensor:
        """An image (K, C, H, W) on each ray: the middle of what is left, or the best radius."""
        middle = (self._low[rows] + self._high[rows]) / 2
        radius = torch.where(self._halving[rows], middle, self._high[rows])
        x = self.x[rows]
        return x + per_image(radius, x) * self._tried[rows].view_as(x)

    def learn(self, rows: Tensor, wrong: Tensor) -> None:
        """Whether they were classified wrongly, (K,)."""
        halving = self._halving[rows]
        middle = (self._low[rows] + self._high[rows]) / 2
        self._high[rows] = torch.where(halving & wrong, middle, self._high[rows])
        self._low[rows] = torch.where(halving & ~wrong, middle, self._low[rows])
        left = self._high[rows] - self._low[rows]
        known = halving & (left <= TOLERANCE / self.size**0.5)
        self._halving[rows] = (halving | wrong) & ~known
        self._keep(rows[known])
        self._turn(rows[known | ~(halving | wrong)])

    def _keep(self, rows: Tensor) -> None:
        """The ray that was asked about becomes the best where it is nearer."""
        better = rows[self._high[rows] < self._radius[rows]]
        self._signs[better], self._radius[better] = self._tried[better], self._high[better]
        self.nearest[better] = torch.minimum(self.nearest[better], self._radius[better])
        self._changed[better] = True

    def _turn(self, rows: Tensor) -> None:
        """The next ray of each image: the best one with its next part turned round."""
        ended = rows[self._begin[rows] >= self.size]
        stuck = ended[(self._width[ended] == 1) & ~self._changed[ended]]
        self._next_round(ended)
        pixel, begin = torch.arange(self.size, device=rows.device), self._begin[rows, None]
        part = (pixel >= begin) & (pixel < begin + self._width[rows, None])
        self._tried[rows] = torch.where(part, -self._signs[rows], self._signs[rows])
        self._low[rows], self._high[rows] = 0, self._radius[rows].clamp_max(1)
        self._begin[rows] += self._width[rows]
        self._begin_anew(stuck)

    def _next_round(self, rows: Tensor) -> None:
        """Parts half as long, down to pixels."""
        self._width[rows] = (self._width[rows] + 1) // 2
        self._begin[rows], self._changed[rows] = 0, False

    def _begin_anew(self, rows: Tensor) -> None:
        """From other signs, whatever is known of the ray so far."""
        self._anew[rows] += 1
        while len(self._starts) < int(self._anew.max()):
            signs = 2.0 * torch.randint_like(self._signs[:1], 2) - 1
            self._starts = torch.cat([self._starts, signs])
        self._tried[rows] = self._signs[rows] = self._starts[self._anew[rows] - 1]
        self._radius[rows], self._low[rows], self._high[rows] = torch.inf, 0, 1
        self._width[rows], self._begin[rows], self._changed[rows] = 2 * self.size, self.size, True
