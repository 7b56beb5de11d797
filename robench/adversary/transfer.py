"""Transfer: images crafted on another model's weights, and looked at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.pgd import PGD
from robench.errors import AttackError
from robench.seeds import derive
from robench.threat import Threat


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """An attack on the cell of another method: same data, network, seed and training ball.

    A model is no less robust against its own gradients than against those of another, unless its
    own lead nowhere (Papernot et al. 2016, arXiv:1605.07277; Carlini et al. 2019, 1902.06705).
    """

    source: str
    """The other method."""
    attack: PGD = field(default_factory=lambda: PGD(steps=40))
    """All its steps are made: an image just over the other model's boundary transfers badly."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Nothing by itself: ``Suite.on`` gives it the other model."""
        raise AttackError(f"there is no cell of {self.source} to craft on")

    def on(self, surrogate: nn.Module) -> "Crafted":
        """The same with the other model."""
        return Crafted(surrogate, self.attack)


@dataclass(frozen=True)
class Crafted:
    """A transfer with the model that it crafts on."""

    surrogate: nn.Module
    attack: PGD

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W) that raise the other model's loss."""
        return self.attack(self.surrogate, x, y, threat)


def sources(attacks: Mapping[str, Attack]) -> tuple[str, ...]:
    """Methods whose cells the attacks need."""
    found = (attack.source for attack in attacks.values() if isinstance(attack, Transfer))
    return tuple(dict.fromkeys(found))


def crafted_on(
    attacks: Mapping[str, Attack], surrogates: Mapping[str, nn.Module]
) -> dict[str, Attack]:
    """The attacks with what they craft on; without those whose model there is not."""
    found: dict[str, Attack] = {}
    for name, attack in attacks.items():
        if not isinstance(attack, Transfer):
            found[name] = attack
        elif attack.source in surrogates:
            found[name] = attack.on(surrogates[attack.source])
    return found


def transferred(
    attacks: Mapping[str, Attack], model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int
) -> Tensor | None:
    """Images (B, C, H, W) crafted on each of the other models until one is wrong; none: no models.

    Raises:
        AttackError: an attack failed or broke the rules.
    """
    crafted = {name: attack for name, attack in attacks.items() if isinstance(attack, Crafted)}
    x_adv = x
    for name, attack in crafted.items():
        stands = right(model, x_adv, y)[:, None, None, None]
        found = attempt(name, attack, model, x, y, threat, derive(seed, "transferred", name))
        x_adv = torch.where(stands, found, x_adv)
    return x_adv if crafted else None
