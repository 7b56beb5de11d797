"""Thermometer: pixels as codes without a gradient (Buckman et al. 2018, openreview:S18Su--CW)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.adversary.apgd import TargetedAPGD
from robench.adversary.attack import Attack
from robench.adversary.blurred import Blurred
from robench.adversary.bpda import BPDA
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.detour import opened
from robench.models.thermometer import encoded
from robench.radius import NORMS, Norm
from robench.training.method import Run, method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class ThermometerCode(Wrapper):
    """The network sees each pixel as a column of lights, and is trained as the inner method does.

    The code has no gradient. What training attacks goes around it by a smooth code, and so does the
    adaptive attack, which moreover follows the mean of the gradients nearby.

    Reduces to: its inner method, on images of ones, at levels = 1.

    Differs from the paper: attacks in training are PGD through the smooth code, on images (theirs:
    LS-PGA, on the logits of relaxed codes, whose temperature falls); 7 steps are theirs. The inner
    method natural is the code alone. Codes come in place of the network's normalisation.
    """

    control: ClassVar[str] = "BPDA: the gradient of a smooth code (Athalye et al. 2018)"
    replaces: ClassVar[tuple[str, ...]] = ("adaptive",)

    levels: Annotated[int, Meta(ge=1)] = 16
    """Lights of each pixel and channel; the paper's."""

    def __post_init__(self) -> None:
        """Refuse weights of a network without the code."""
        super().__post_init__()
        if source := self.inner.starts_from():
            raise ConfigError(
                f"thermometer: {self.inner.choice} starts from the weights of {source}, whose "
                "network sees no code; choose another inner method"
            )

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        return self.inner.build(lambda: encoded(classifier(), self.levels), run)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        with opened(model):
            return self.inner.perturb(model, batch, run)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        with opened(model):
            return self.inner.loss(model, batch, x_adv, run)

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        with opened(model):
            return self.inner.step(model, batch, run, optimizer)

    def adaptive(self, norm: Norm) -> Attack | None:
        """One target after the other: Square finds what PGD on the margin has missed, here nothing.

        Without the mean of gradients nearby, a sixth of natural digits stands; with it, none.
        """
        around = BPDA(attack=TargetedAPGD(steps=40, targets=5))
        return Blurred(attack=around, radius=0.5, draws=5) if norm in NORMS else None


presets = {
    "*": ThermometerCode(inner=method("madry", changes={"attack.steps": 7})),
    "mnist": ThermometerCode(inner=method("madry")),  # 7 of its steps of 0.01 do not reach 0.3
}
