"""Attacks that go around what lets no gradient through."""

from dataclasses import dataclass

from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.models.detour import opened
from robench.threat import Threat


@dataclass(frozen=True, kw_only=True)
class BPDA:
    """An attack with the detours of a model's layers open (Athalye et al. 2018, 1802.00420).

    What it attacks says forwards what the model says; only gradients differ.
    """

    attack: Attack

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """What the attack finds."""
        with opened(model):
            return self.attack(model, x, y, threat)
