"""Resize and pad: random sizes and places when deployed (Xie et al. 2018, arXiv:1711.01991)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import nn

from robench.adversary.attack import Attack
from robench.adversary.eot import EOT
from robench.adversary.pgd import PGD
from robench.models.resizing import RandomResize
from robench.radius import NORMS, Norm
from robench.training.method import Run, method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class ResizePad(Wrapper):
    """What another method has trained is shown images at random sizes, in random places.

    Training knows nothing of it.

    Reduces to: its inner method at smallest = 1.

    Differs from the authors' code: images shrink inside their own size (theirs grow inside a larger
    frame, which networks without a global mean cannot take); each image has its own size and place
    (theirs: one a batch), and whoever asks gets one draw (theirs: the mean of 30, half of them
    mirrored). The frame is black; theirs is 0 after scaling to [-1, 1], which is grey.
    """

    control: ClassVar[str] = "EOT: the gradient of the mean of many draws (Athalye et al. 2018)"
    replaces: ClassVar[tuple[str, ...]] = ("adaptive",)
    stochastic: ClassVar[bool] = True

    smallest: Annotated[float, Meta(gt=0, le=1)] = 299 / 331
    """Least side, as a share of the image's; the paper's: 299 of 331 pixels."""

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        return nn.Sequential(RandomResize(self.smallest), self.inner.deploy(model, run))

    def adaptive(self, norm: Norm) -> Attack | None:
        """It does not stop at the first wrong mean: too many single draws would still be right."""
        return EOT(attack=PGD(steps=40)) if norm in NORMS else None


presets = {"*": ResizePad(inner=method("natural"))}
