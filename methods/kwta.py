"""k-WTA: only the largest activations of a layer go on (Xiao et al. 2020, arXiv:1905.10510)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import nn

from robench.adversary.attack import Attack
from robench.adversary.square import Square
from robench.models.rectifiers import replaced
from robench.models.winners import Winners
from robench.radius import NORMS, Norm
from robench.training.method import Run, method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Kwta(Wrapper):
    """k-winners-take-all in place of every rectifier, around any training.

    Which activations win jumps from point to point, and no gradient knows of it.

    Reduces to: its inner method at gamma = 1.

    Differs from the authors' code: winners that are negative are cut to 0, so that all winners are
    a rectifier (theirs: the identity); at their gammas hardly any winner is negative.
    """

    control: ClassVar[str] = "random search: Square with restarts (Croce & Hein 2020)"
    replaces: ClassVar[tuple[str, ...]] = ("adaptive",)

    gamma: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """Share of each layer's activations that go on; the authors'."""

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        return self.inner.build(lambda: replaced(classifier(), lambda: Winners(self.gamma)), run)

    def adaptive(self, norm: Norm) -> Attack | None:
        """On digits it beats, at its cost, the finite differences of Tramer et al. 2020."""
        return Square(queries=1000, restarts=5) if norm in NORMS else None


presets = {"*": Kwta(inner=method("madry"))}
