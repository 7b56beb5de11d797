"""FAB: the smallest perturbation, by projections onto the linearised decision boundary."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.hunt import Hunt, likeliest
from robench.adversary.hyperplane import onto_hyperplane
from robench.radius import Norm
from robench.threat import Threat, per_image

Count = Annotated[int, Meta(ge=1)]

OVERSHOOT = 1.05
"""How far a step goes past the linearised boundary; the paper's eta."""

LARGEST_BIAS = 0.1
"""How much of a step may start at the unperturbed image; the paper's alpha_max."""

BACKTRACK = 0.9
"""What is kept of a perturbation that was found before the search goes on; the paper's beta."""

_BUDGET = f"overshoot {OVERSHOOT}, largest bias {LARGEST_BIAS}, backtrack {BACKTRACK}"

ALL = 10**9
"""More classes than any data set has."""

_DUAL: Mapping[Norm, Norm] = {"Linf": "L1", "L2": "L2", "L1": "Linf"}
"""What the length of a gradient is measured in."""


@dataclass(frozen=True, kw_only=True)
class FAB:
    """Fast adaptive boundary attack towards the nearest class (Croce & Hein 2020, 1907.02044).

    It looks for the smallest perturbation whatever eps is, and stops once that is in the ball.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    steps: Count = 100
    """Projections."""
    restarts: Count = 1
    """The first from the image, the others at random in half the ball."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return _BUDGET

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        hunt = Hunt(x, threat)
        for restart in range(self.restarts):
            hunt.go(partial(self._try, model, restart > 0), x, y)
        return hunt.x_adv

    def _try(
        self, model: nn.Module, again: bool, x: Tensor, y: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        start = threat.rim(x, share=0.5) if again else x
        planes = _planes(model, start, y, ALL)
        return _search(model, self.steps, x, start, planes, threat)


@dataclass(frozen=True, kw_only=True)
class TargetedFAB:
    """FAB towards one class after the other: one backward pass a step, however many classes."""

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    targets: Count = 9
    """Likeliest wrong classes of the unperturbed image, as far as there are that many."""
    steps: Count = 100
    """Projections a target."""

    @property
    def budget(self) -> str:
        """What no setting changes, in words."""
        return _BUDGET

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        hunt, search = Hunt(x, threat), partial(_search, model, self.steps)
        planes = _planes(model, x, y, self.targets)
        for target in range(len(planes.classes)):
            hunt.go(search, x, x, planes.only(target))
        return hunt.x_adv


@dataclass(frozen=True)
class _Planes:
    """Linearised boundaries between the true class and T others, for B images."""

    y: Tensor
    """(B,)"""
    classes: Tensor
    """(T, B)"""
    difference: Tensor
    """Logit of the other class minus the true one, (T, B)."""
    normal: Tensor
    """Its gradient, (T, B, C, H, W)."""

    def __getitem__(self, index: Tensor) -> "_Planes":
        """Those of some of the images."""
        return _Planes(
            self.y[index], self.classes[:, index], self.difference[:, index], self.normal[:, index]
        )

    def only(self, target: int) -> "_Planes":
        """Those of one of the classes."""
        one = slice(target, target + 1)
        return _Planes(self.y, self.classes[one], self.difference[one], self.normal[one])

    def nearest(self, norm: Norm) -> tuple[Tensor, Tensor]:
        """Difference (B,) and normal (B, d) of each image's nearest boundary."""
        flat = self.normal.flatten(2)
        if len(flat) == 1:
            return self.difference[0], flat[0]
        closest = (self.difference.abs() / (_length(flat, _DUAL[norm]) + 1e-12)).argmin(0)
        images = torch.arange(flat.shape[1], device=flat.device)
        return self.difference[closest, images], flat[closest, images]


def _planes(model: nn.Module, at: Tensor, y: Tensor, classes: Tensor | int) -> _Planes:
    """One forward pass, and a backward pass for each class: those given, or the likeliest."""
    leaf = at.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(leaf)
        if isinstance(classes, int):
            classes = likeliest(logits.detach(), y, classes)
        differences = logits.T.gather(0, classes) - logits.gather(1, y[:, None]).T
        last = len(classes) - 1
        normals = [
            torch.autograd.grad(difference.sum(), leaf, retain_graph=number < last)[0]
            for number, difference in enumerate(differences.unbind(0))
        ]
    normal = torch.stack(normals).nan_to_num_(0.0, 0.0, 0.0)
    return _Planes(y, classes, differences.detach(), normal)


def _search(
    model: nn.Module, steps: int, x: Tensor, start: Tensor, planes: _Planes, threat: Threat
) -> tuple[Tensor, Tensor]:
    """Perturbed images, and which of them are wrong and in the ball."""
    found, fell = x.clone(), torch.zeros_like(planes.y, dtype=torch.bool)
    index, now = torch.arange(len(x), device=x.device), start
    for step in range(steps):
        if step:
            planes = _planes(model, now, planes.y, planes.classes)
        now = _step(x, now, *planes.nearest(threat.norm), threat.norm)
        with torch.no_grad():
            wrong = model(now).argmax(1) != planes.y
        fallen = wrong & (threat.distance(now, x) <= threat.eps)
        found[index[fallen]], fell[index[fallen]] = now[fallen], True
        now = torch.where(per_image(wrong, x).bool(), x + BACKTRACK * (now - x), now)
        if fallen.any():
            keep = ~fallen
            index, x, now = index[keep], x[keep], now[keep]
            planes, threat = planes[keep], threat.at(keep)
            if not len(index):
                break
    return found, fell


def _step(x: Tensor, now: Tensor, difference: Tensor, normal: Tensor, norm: Norm) -> Tensor:
    """Past the linearised boundary, a little biased towards what is nearest to the image itself."""
    points = torch.cat([now.flatten(1), x.flatten(1)])
    offset = (normal * now.flatten(1)).sum(1) - difference
    moves = onto_hyperplane(points, normal.repeat(2, 1), offset.repeat(2), norm)
    here, origin = _length(moves, norm).clamp_min(1e-8).chunk(2)
    bias = per_image((here / (here + origin)).clamp_max(LARGEST_BIAS), x)
    to_here, to_origin = (move.view_as(x) for move in moves.chunk(2))
    ahead = (now + OVERSHOOT * to_here) * (1 - bias) + (x + OVERSHOOT * to_origin) * bias
    return ahead.clamp(0, 1)


def _length(vectors: Tensor, norm: Norm) -> Tensor:
    """Of vectors (..., d)."""
    if norm == "L2":
        return vectors.norm(dim=-1)
    return vectors.abs().amax(-1) if norm == "Linf" else vectors.abs().sum(-1)
