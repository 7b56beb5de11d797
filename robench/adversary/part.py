"""Attacks on one part of a model, whose images the whole of it then looks at."""

from dataclasses import dataclass

from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.threat import Threat


@dataclass(frozen=True, kw_only=True)
class OnPart:
    """An attack that leaves out what stands before or after a part: a transfer, not a verdict.

    For what a purifier protects, that is its gradient taken as 1 (BPDA with the identity, Athalye
    et al. 2018, arXiv:1802.00420). A model without such a part is attacked as it is.
    """

    attack: Attack
    part: str = "classifier"
    """Its attribute's name."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """What the attack finds there."""
        return self.attack(getattr(model, self.part, model), x, y, threat)
