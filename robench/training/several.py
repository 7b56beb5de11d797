"""Training against several threat models: the balls, and what PGD finds in each of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.data.catalogue import facts
from robench.errors import ConfigError
from robench.threat import Threat
from robench.training.method import Method

Ball = Literal["Linf", "L2", "L1"]


@dataclass(frozen=True, kw_only=True)
class Within(PGD):
    """PGD in a ball of its own."""

    eps: Annotated[float, Meta(gt=0)]
    """Radius; the grid's takes its place in the norm that the grid trains in."""


@dataclass(frozen=True, kw_only=True)
class Several(Method):
    """Base of methods that train against several balls at once."""

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    norms: tuple[Ball, ...] = get_args(Ball)
    """That are trained against."""
    linf: Within = field(default_factory=lambda: Within(eps=3 / 16))
    l2: Within = field(default_factory=lambda: Within(eps=3 / 4))
    l1: Within = field(default_factory=lambda: Within(eps=3.0))

    def __post_init__(self) -> None:
        """Refuse what trains against nothing, or against one ball twice."""
        if not self.trained or len({*self.norms}) < len(self.norms):
            raise ConfigError("norms should name each norm once, and one at least: (Linf,L1)")

    @property
    def trained(self) -> tuple[Ball, ...]:
        """Norms of the balls."""
        return self.norms

    def within(self, norm: str) -> Within:
        """The attack in a norm."""
        return cast(Within, getattr(self, norm.lower()))

    def balls(self, threat: Threat) -> tuple[Threat, ...]:
        """One for each norm; the grid's own among them, if its norm is one of theirs."""
        return tuple(
            threat if norm == threat.norm else Threat(norm, self.within(norm).eps)
            for norm in self.trained
        )

    def crafted(self, model: nn.Module, batch: Batch, balls: Sequence[Threat]) -> list[Tensor]:
        """What PGD finds in each ball, (B, C, H, W)."""
        return [self.within(ball.norm)(model, batch.x, batch.y, ball) for ball in balls]

    def steps(self) -> list[int]:
        """Of the attack in each ball."""
        return [self.within(norm).steps for norm in self.trained]


def at_radii_of(dataset: str, **attacks: PGD) -> dict[str, Any]:
    """Settings for a preset: the catalogue's radii, each with its attack or ten steps."""
    radii = facts(dataset).eps
    return {
        norm.lower(): Within(eps=float(radii[norm]), **asdict(attacks.get(norm.lower(), PGD())))
        for norm in get_args(Ball)
    }
