"""HopSkipJump: along the decision boundary towards the image, by predicted classes alone."""

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.blackbox.queries import Oracle, Searched
from robench.errors import AttackError
from robench.radius import NORMS
from robench.threat import Threat, per_image

Count = Annotated[int, Meta(ge=1)]

STARTS = 100
"""Random images asked about until one is classified otherwise; as in the authors' code."""

REACH = 0.01
"""How far a normal's probes are from the boundary, in shares of the distance to the image."""

FIRST_REACH = 0.1
"""How far they are before that distance means anything, in [0, 1] pixel units."""

HALVINGS = 15
"""Of a jump that leads back over the boundary, until it is given up."""


@dataclass(frozen=True, kw_only=True)
class HopSkipJump:
    """The smallest perturbation that one can feel one's way to (Chen et al. 2020, 1904.02144).

    From some image of another class it goes to the boundary by halving, guesses the normal there
    from which side random probes lie on, jumps along it and begins again. It looks for the smallest
    perturbation whatever eps is, and stops once that is in the ball. All images of a batch share
    random numbers, so what comes of one does not depend on the others.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    queries: Count = 5000
    """Forward passes of an image."""
    probes: Count = 100
    """Questions for the first normal; the t-th takes the root of t times as many."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return f"at most {STARTS} starts, probes at {REACH} of the distance"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        return self.search(model, x, y, threat).x_adv

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Searched:
        """Perturbed images, and the questions that they cost."""
        return self.nearest(model, x, y, threat)[0]

    def nearest(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat
    ) -> tuple[Searched, Tensor]:
        """Likewise, and the nearest wrong images (B, C, H, W), in or out of the ball.

        Where there is none, it is NaN.
        """
        if threat.norm not in NORMS:
            raise AttackError(f"HopSkipJump goes in {' and '.join(NORMS)}, not in {threat.norm}")
        oracle = Oracle(model, x, y, threat, self.queries)
        path = _Path(oracle)
        rows = path.start()
        for step in itertools.count(1):
            path.to_boundary(rows)
            if not len(rows := oracle.open(rows)):
                break
            noise = path.noise(int(self.probes * math.sqrt(step)))
            for part in oracle.batches(rows, len(noise)):
                normal = path.normal(part, noise, first=step == 1)
                path.jump(part, normal, step)
            rows = oracle.open(rows)
        return oracle.found(), path.best


class _Path:
    """Where the images are that are classified wrongly, out of the ball as yet."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.x, self.norm = oracle, oracle.x, oracle.threat.norm
        self.now = torch.full_like(self.x, torch.nan)
        self.best = self.now.clone()

    def start(self) -> Tensor:
        """Noise on grey for each image; returns those (K,) that some is wrong for.

        At first there is noise alone. A random share of it finds classes that noise never has.
        """
        rows = todo = self.oracle.every()
        for attempt in range(STARTS):
            if not len(todo := self.oracle.open(todo)):
                break
            noise, (share, grey) = torch.rand_like(self.x[0]), torch.rand(2).tolist()
            image = noise if attempt == 0 else grey + share * (noise - grey)
            image = image.expand(len(todo), 1, *image.shape)
            wrong = self.oracle.wrong(todo, image)[:, 0]
            self.now[todo[wrong]] = image[wrong, 0]
            todo = todo[~wrong]
        return self.oracle.open(rows[~self.now.flatten(1).isnan().any(1)])

    def to_boundary(self, rows: Tensor) -> None:
        """Halve the way between images (K,) and what is wrong for them, as long as is needed."""
        low, high, todo = torch.zeros(len(self.x)), torch.ones(len(self.x)), rows
        low, high = low.to(self.x), high.to(self.x)
        size = self.x.shape[1:].numel()
        for _ in range(math.ceil(math.log2(100 * (size if self.norm == "Linf" else size**0.5)))):
            if not len(todo := self.oracle.open(todo)):
                break
            middle = (low[todo] + high[todo]) / 2
            wrong = self.oracle.wrong(todo, self._between(todo, middle)[:, None])[:, 0]
            high[todo] = torch.where(wrong, middle, high[todo])
            low[todo] = torch.where(wrong, low[todo], middle)
        self.now[rows] = self._between(rows, high[rows])
        nearer = rows[~(self._far(rows, self.now) >= self._far(rows, self.best))]
        self.best[nearer] = self.now[nearer]

    def noise(self, count: int) -> Tensor:
        """Directions (P, C, H, W) of length one."""
        noise = self.x.new_empty(count, *self.x.shape[1:])
        noise = noise.uniform_(-1, 1) if self.norm == "Linf" else noise.normal_()
        return noise / per_image(noise.flatten(1).norm(dim=1), noise)

    def normal(self, rows: Tensor, noise: Tensor, *, first: bool) -> Tensor:
        """Unit steps (K, C, H, W) away from the side of the boundary that is right."""
        now = self.now[rows, None]
        reach = REACH * self._far(rows, self.now)
        reach = per_image(torch.full_like(reach, FIRST_REACH) if first else reach, now)
        probes = (now + reach * noise).clamp(0, 1)
        side = 2.0 * self.oracle.wrong(rows, probes) - 1
        mean = side.mean(1, keepdim=True)
        side = torch.where(mean.abs() == 1, side, side - mean)
        found = (side[:, None] @ ((probes - now) / reach).flatten(2)).view(now[:, 0].shape)
        return self.oracle.threat.direction(found)

    def jump(self, rows: Tensor, normal: Tensor, step: int) -> None:
        """Move images (K,) along the normal, as far as they stay wrong."""
        size = self._far(rows, self.now) / math.sqrt(step)
        todo = torch.ones_like(rows, dtype=torch.bool)
        for _ in range(HALVINGS):
            todo &= torch.isin(rows, self.oracle.open(rows))
            if not todo.any():
                break
            at = rows[todo]
            ahead = (self.now[at] + per_image(size[todo], normal) * normal[todo]).clamp(0, 1)
            wrong = self.oracle.wrong(at, ahead[:, None])[:, 0]
            self.now[at[wrong]] = ahead[wrong]
            todo[todo.clone()] = ~wrong
            size = size / 2

    def _between(self, rows: Tensor, share: Tensor) -> Tensor:
        """From images (0) to what is wrong for them (1): on a line, or cut to a smaller ball."""
        x, now = self.x[rows], self.now[rows]
        if self.norm == "L2":
            return torch.lerp(x, now, per_image(share, x))
        radius = per_image(share * self._far(rows, self.now), x)
        return torch.where(per_image(share, x) == 1, now, now.clamp(x - radius, x + radius))

    def _far(self, rows: Tensor, images: Tensor) -> Tensor:
        """Distances (K,); NaN where there is no image."""
        return self.oracle.threat.distance(images[rows], self.x[rows])
