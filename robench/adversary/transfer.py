"""Transfer: images crafted on other models' weights, and looked at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.losses import margin
from robench.adversary.minmax import MinMax
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
    attack: Attack = field(default_factory=lambda: PGD(steps=40))
    """All its steps are made: an image just over the other model's boundary transfers badly."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Methods whose cells it needs."""
        return (self.source,)

    def craft(self, models: Sequence[nn.Module], x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images that raise the other model's loss."""
        (model,) = models
        return self.attack(model, x, y, threat)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Nothing by itself: ``Suite.on`` gives it the other model."""
        raise _without(self)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """One perturbation against the cells of several other methods (Wang et al. 2021, 1906.03563).

    Of a method that is attacked itself, the others' cells are used.
    """

    sources: tuple[str, ...]
    """The other methods."""
    search: MinMax = field(default_factory=MinMax)
    """All its steps are made, as with one other model."""

    def craft(self, models: Sequence[nn.Module], x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images that raise the least margin of the other models."""

        def margins(x_adv: Tensor) -> Tensor:
            return torch.stack([margin(model(x_adv), y) for model in models], dim=1)

        return self.search(margins, x, threat, halt=False)

    @property
    def budget(self) -> str:
        """What it means, in words."""
        return (
            "one perturbation that every other model should get wrong, looked at by this one: "
            "what stands was not attacked with this model's own gradients"
        )

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Nothing by itself: ``Suite.on`` gives it the other models."""
        raise _without(self)


@dataclass(frozen=True)
class Crafted:
    """A transfer with the models that it crafts on."""

    surrogates: tuple[nn.Module, ...]
    by: Transfer | Ensemble

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), crafted without a look at the model."""
        return self.by.craft(self.surrogates, x, y, threat)


def sources(attacks: Mapping[str, Attack]) -> tuple[str, ...]:
    """Methods whose cells the attacks need."""
    found = (name for attack in attacks.values() for name in _sources(attack))
    return tuple(dict.fromkeys(found))


def crafted_on(
    attacks: Mapping[str, Attack], surrogates: Mapping[str, nn.Module]
) -> dict[str, Attack]:
    """The attacks with what they craft on; without those whose models there are none of."""
    found: dict[str, Attack] = {}
    for name, attack in attacks.items():
        if not isinstance(attack, Transfer | Ensemble):
            found[name] = attack
        elif there := tuple(surrogates[s] for s in attack.sources if s in surrogates):
            found[name] = Crafted(there, attack)
    return found


def _sources(attack: Attack) -> tuple[str, ...]:
    return attack.sources if isinstance(attack, Transfer | Ensemble) else ()


def _without(attack: Transfer | Ensemble) -> AttackError:
    return AttackError(f"there is no cell of {', '.join(attack.sources)} to craft on")


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
