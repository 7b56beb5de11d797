"""Smoothing: adversarial training under noise (SmoothAdv: Salman et al. 2019, arXiv:1906.04584)."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.models.smoothed import Smoothed
from robench.training.method import Adversarial, Run


@dataclass(frozen=True, kw_only=True)
class Smoothing(Adversarial):
    """The attack raises -log of the mean probability over noise; noisy images are trained on.

    What is deployed draws noise as well, so suites meet a stochastic model. Certification is no
    part of it.

    Reduces to: adversarial training from the same start at sigma = 0 and draws = 1, up to rounding;
    training on Gaussian noise at attack.steps = 0 and attack.start = none.

    Differs from the authors' code: each step of the attack and the loss draw noise of their own
    (theirs: one set of draws for all of it); all draws are trained on, as with its
    train-multi-noise, in one batch; no first epoch of growing eps. advbench's RandSmoothing is
    another thing: each of its steps starts anew from x, so one step is all that is left of the
    attack, and the noise is left out of training.
    """

    stochastic: ClassVar[bool] = True

    attack: PGD = field(default_factory=lambda: PGD(start="none"))
    """From the image itself, as theirs; 10 steps are theirs, too."""
    sigma: Annotated[float, Meta(ge=0)] = 0.25
    """Standard deviation of the noise in [0, 1] pixel units; ours."""
    draws: Annotated[int, Meta(ge=1)] = 2
    """Noisy copies of an image at each step of the attack, and in the loss; ours."""
    deployed_draws: Annotated[int, Meta(ge=1)] = 8
    """Noisy copies in each prediction of the deployed model; ours."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        # Its logits are logarithms of probabilities, so their cross-entropy is -log of the mean.
        smooth = Smoothed(model, self.sigma, self.draws)
        return self.attack(smooth, batch.x, batch.y, run.threat)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        copies = x_adv.repeat(self.draws, 1, 1, 1)
        noisy = copies + self.sigma * torch.randn_like(copies)
        return F.cross_entropy(model(noisy), batch.y.repeat(self.draws))

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        return Smoothed(model, self.sigma, self.deployed_draws)

    def passes(self, stage: str) -> Passes:
        one = super().passes(stage)
        return Passes(self.draws * one.forwards, self.draws * one.backwards)


presets = {"*": Smoothing()}  # ours, but for the attack's steps and start
