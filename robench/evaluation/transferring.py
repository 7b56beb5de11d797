"""Images crafted on each network of a group, and looked at by every one of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.eot import EOT
from robench.adversary.momentum import ATTACKS as MOMENTUM
from robench.adversary.pgd import PGD
from robench.device import full_precision
from robench.errors import AttackError
from robench.evaluation.probes.outputs import random
from robench.evaluation.trial import CHUNK
from robench.models.averaged import Averaged
from robench.seeds import derive, seeded
from robench.threat import Threat

ATTACKS: Mapping[str, Attack] = {**MOMENTUM, "pgd": PGD(steps=40)}
"""That craft; all their steps are made."""

LOOKS = 10
"""At an image by a target that draws; the majority is its answer."""

DRAWS = 5
"""For each gradient of a source that draws; the steps of an attack average further."""

Tell = Callable[[str], None]
"""Takes a line about what was left out."""


@dataclass(frozen=True)
class Crossing:
    """What became of a target's test images, crafted on a source."""

    source: str | None
    """None: all networks but the target, by the mean of their probabilities."""
    target: str
    right: Tensor
    """(N,): right as they are."""
    stands: Tensor
    """(N,): right both as they are and as they were crafted."""


def crossings(
    models: Mapping[str, nn.Module],
    attack: str,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    seed: int,
    tell: Tell,
) -> Iterator[Crossing]:
    """Every network as source of every network, itself included, then the others of each.

    Liu et al. 2017 (arXiv:1611.02770) craft on the mean probability of several networks, so that
    those which are still sure lead. It needs two others: one alone is a source already. A network
    whose logits are not finite, and a source whose attack fails, is told of and left out.
    """
    group = _Group(attack, x, y, threat, seed, tell)
    with full_precision():
        for name, model in models.items():
            group.add(name, model)
        for source, model in group.models.items():
            yield from group.cross(source, model, [*group.models])
        if len(group.models) > 2:
            for target in group.models:
                yield from group.cross(None, group.without(target), [target])


class _Group:
    def __init__(
        self, attack: str, x: Tensor, y: Tensor, threat: Threat, seed: int, tell: Tell
    ) -> None:
        self.attack, self.x, self.y, self.threat = attack, x, y, threat
        self.seed, self.tell = seed, tell
        self.models: dict[str, nn.Module] = {}
        self.looks: dict[str, int] = {}
        self.right: dict[str, Tensor] = {}

    def add(self, name: str, model: nn.Module) -> None:
        """One more network, unless it cannot be looked at."""
        with seeded(derive(self.seed, "draws", name)):
            drawing = random(model, self.x[:32]).status == "up"
        self.looks[name] = LOOKS if drawing else 1
        try:
            self.right[name] = self._right(name, model, self.x, "natural")
            self.models[name] = model
        except AttackError as error:
            self.tell(f"{name}: {error}")

    def without(self, target: str) -> nn.Module:
        """All networks but one; of those that draw, several draws count as one network."""
        rest = {name: model for name, model in self.models.items() if name != target}
        members = [
            Averaged([model] * DRAWS) if self.looks[name] > 1 else model
            for name, model in rest.items()
        ]
        return Averaged(members).eval()

    def cross(
        self, source: str | None, model: nn.Module, targets: Sequence[str]
    ) -> Iterator[Crossing]:
        """Craft on a network once, and let targets look."""
        whose = f"all but {targets[0]}" if source is None else source
        try:
            x_adv = self._crafted(model, whose)
        except AttackError as error:
            self.tell(f"{whose} as a source: {error}")
            return
        for target in targets:
            try:
                still = self._right(target, self.models[target], x_adv, whose)
            except AttackError as error:
                self.tell(f"{target} as a target of {whose}: {error}")
                continue
            natural = self.right[target]
            yield Crossing(source, target, natural.cpu(), (natural & still).cpu())

    def _crafted(self, model: nn.Module, whose: str) -> Tensor:
        attack = ATTACKS[self.attack]
        if self.looks.get(whose, 1) > 1:
            attack = EOT(attack=attack, draws=DRAWS)
        parts = zip(self.x.split(CHUNK), self.y.split(CHUNK), strict=True)
        return torch.cat(
            [
                attempt(self.attack, attack, model, x, y, self.threat, derive(self.seed, whose, at))
                for at, (x, y) in enumerate(parts)
            ]
        )

    def _right(self, name: str, model: nn.Module, x: Tensor, what: str) -> Tensor:
        with seeded(derive(self.seed, "look", name, what)):
            parts = zip(x.split(CHUNK), self.y.split(CHUNK), strict=True)
            return torch.cat([right(model, part, y, self.looks[name]) for part, y in parts])
