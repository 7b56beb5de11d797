"""FAB as a minimum-norm attack: the nearest of all wrong images that it asks about."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.fab import FAB, TargetedFAB
from robench.adversary.nearest.nearest import Closest, Nearness, check
from robench.threat import Threat

Count = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class NearestFAB:
    """Fast adaptive boundary attack (Croce & Hein 2020, arXiv:1907.02044), in Linf and L2.

    The attack looks for the smallest perturbation by itself, and stops where one fits its ball.
    None fits the one that it gets here, so it goes on to its last step.
    """

    steps: Count = 100
    """Projections; for each target, where there are targets."""
    targets: Annotated[int, Meta(ge=0)] = 0
    """Likeliest wrong classes to go to one after the other; 0: always to the nearest class."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, norm: Nearness) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        check("FAB", norm, ("Linf", "L2"))
        assert norm in ("Linf", "L2")
        closest, nothing = Closest(x, norm), Threat(norm, -1.0)
        asked = _Asked(model, closest, y)
        if self.targets:
            TargetedFAB(steps=self.steps, targets=self.targets)(asked, x, y, nothing)
        else:
            FAB(steps=self.steps)(asked, x, y, nothing)
        return closest.x_adv


class _Asked(nn.Module):
    """A model that takes note of what it is asked, about all images in order."""

    def __init__(self, model: nn.Module, closest: Closest, y: Tensor) -> None:
        super().__init__()
        self._model, self._closest, self._y = model, closest, y

    def forward(self, x_adv: Tensor) -> Tensor:
        logits = self._model(x_adv)
        self._closest.look(x_adv.detach(), logits.argmax(1) != self._y)
        return logits
