"""What an attack goes by: the losses and the predictions of every iterate, image by image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.losses import LOSSES, Loss, LossName
from robench.adversary.suite import Suite
from robench.errors import ConfigError
from robench.evaluation.probes.subject import Attackable
from robench.seeds import derive, seeded
from robench.threat import Threat


@dataclass(frozen=True)
class Trace:
    """One run of an attack on one image."""

    losses: Tensor
    """Of every iterate that it asked a gradient of, (iterates,)."""
    wrong: Tensor
    """Which of these were classified wrongly, (iterates,)."""
    fooled: bool
    """Whether the model that it climbed gets its result wrong."""
    fell: bool
    """Whether the model that is judged does."""


@dataclass(frozen=True)
class Audited:
    """A model, the attack that is believed on it, and rightly classified images."""

    model: nn.Module
    """What is judged."""
    surrogate: nn.Module
    """What the attack climbs: the model itself, or what stands for it."""
    attack: Attack
    x: Tensor
    y: Tensor
    threat: Threat
    seed: int

    @property
    def raised(self) -> LossName:
        """The loss that the attack raises, by name.

        Raises:
            ConfigError: it raises no loss of logits and labels.
        """
        for name in LOSSES:
            if name == getattr(self.attack, "loss", ""):
                return name
        raise ConfigError(f"{type(self.attack).__name__} raises no loss that could be followed")

    @property
    def loss(self) -> Loss:
        """What the attack raises."""
        return LOSSES[self.raised]

    def traces(self) -> list[Trace]:
        """The attack's own way on each image.

        Images are attacked one by one, because attacks drop rows of a batch whose images have
        fallen, and nothing says which.

        Raises:
            AttackError: the attack fails or breaks the rules.
            ConfigError: it asks for no gradient.
        """
        return [self._trace(number) for number in range(len(self.y))]

    def _trace(self, number: int) -> Trace:
        x, y, watched = self.x[number, None], self.y[number, None], _Watched(self.surrogate)
        stream = derive(self.seed, "audit", number)
        x_adv = attempt("audited", self.attack, watched, x, y, self.threat, stream)
        if not watched.said:
            raise ConfigError(f"{type(self.attack).__name__} asks for no gradient")
        logits = torch.cat(watched.said)
        labels = y.expand(len(logits))
        with seeded(derive(stream, "look")):
            looks = [right(model, x_adv, y) for model in (self.surrogate, self.model)]
        fooled, fell = (not bool(look) for look in looks)
        return Trace(self.loss(logits, labels), logits.argmax(1) != labels, fooled, fell)


def believed(suite: Suite) -> tuple[str, Attack]:
    """The first attack of a suite that climbs a loss, with its name.

    Raises:
        ConfigError: there is none.
    """
    for name, attack in suite.attacks.items():
        if getattr(attack, "loss", None) in LOSSES:
            return name, attack
    raise ConfigError("the suite has no attack that raises a loss of logits and labels")


class _Watched(nn.Module):
    """A model that remembers what it said wherever it was asked for a gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = Attackable(model), False
        self.said: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        if torch.is_grad_enabled() and x.requires_grad:
            self.said.append(logits.detach())
        return logits
