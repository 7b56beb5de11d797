"""SAP: activations dropped at random when deployed (Dhillon et al. 2018, arXiv:1803.01442)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import nn

from robench.adversary.attack import Attack
from robench.adversary.eot import EOT
from robench.adversary.pgd import PGD
from robench.models.pruning import Pruning
from robench.models.rectifiers import rectifiers, replaced
from robench.radius import NORMS, Norm
from robench.training.method import Run, method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Sap(Wrapper):
    """Stochastic activation pruning after every rectifier of what another method has trained.

    Large activations are kept more often than small ones, and all are weighted so that their means
    stay; training knows nothing of it.

    Reduces to: its inner method as share grows without bound.

    Differs from the authors' code: each activation is kept or dropped by itself, with the
    probability that it is among theirs, who draw a fixed number from a layer; only rectifiers are
    followed by it, and whoever asks gets one draw (theirs: the mean of 100), so that it is the
    suite that looks several times.
    """

    control: ClassVar[str] = "EOT: the gradient of the mean of many draws (Athalye et al. 2018)"
    replaces: ClassVar[tuple[str, ...]] = ("adaptive",)
    stochastic: ClassVar[bool] = True

    share: Annotated[float, Meta(gt=0)] = 1.0
    """Draws from each layer, as a share of its activations; the authors'."""

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        model = self.inner.build(classifier, run)
        rectifiers(model)  # says before training that there are none
        return model

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        deployed = copy.deepcopy(self.inner.deploy(model, run))  # training goes on without
        return replaced(deployed, lambda: Pruning(self.share))

    def adaptive(self, norm: Norm) -> Attack | None:
        """It does not stop at the first wrong mean: too many single draws would still be right."""
        return EOT(attack=PGD(steps=40)) if norm in NORMS else None


presets = {"*": Sap(inner=method("natural"))}
