"""Attacks that move the mass of an image: the Wasserstein ball."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import expected
from robench.adversary.hunt import Hunt, Kept
from robench.adversary.losses import LOSSES, Loss, LossName
from robench.adversary.transport import best
from robench.threat import Threat, per_image


@dataclass(frozen=True, kw_only=True)
class Wasserstein:
    """Images at a 2-Wasserstein distance of at most eps, a share of the side, with the same mass.

    The ball of Wong et al. 2019 (arXiv:1902.07906), whose radius is eps squared in pixels: 1 on
    MNIST is 1/28 here, 0.1 on CIFAR-10 is 1/100. As there, mass stays in its channel and moves by a
    few pixels only, its distance is the mean over the whole image's mass, and masses are divided by
    their sum. They project by Sinkhorn iterations with a smoothed distance, and cut the images to
    [0, 1] afterwards, which loses mass. Here Sinkhorn iterations give the best image of the ball
    for the gradient, and each step goes a part of the way there (Frank-Wolfe; Wu et al. 2020,
    arXiv:2008.02883): the ball is convex, so nothing has to be projected or cut.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    losses: tuple[LossName, ...] = ("cross-entropy", "margin")
    """What is raised, each in a run of its own."""
    steps: Annotated[int, Meta(ge=1)] = 20
    """Of 2 / (step + 2) of the way."""
    reach: Annotated[int, Meta(ge=1)] = 2
    """Pixels along each axis that mass may move by."""
    draws: Annotated[int, Meta(ge=1)] = 1
    """Gradients averaged a step: expectation over transformation, for stochastic models."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrongly classified where a way was found; the others unchanged."""
        hunt = Hunt(x, threat)
        for loss in self.losses:
            hunt.go(partial(self._try, model, LOSSES[loss]), x, y)
        return hunt.x_adv

    def _try(
        self, model: nn.Module, loss: Loss, x: Tensor, y: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        kept = Kept(x)
        eps = per_image(threat.eps, x).expand(len(x), 1, 1, 1) * max(x.shape[2:])
        x_adv = x
        for step in range(self.steps + 1):
            logits, _, grad = expected(model, x_adv, loss, y, self.draws)
            goes_on = kept.look(x_adv, logits, y)
            x, y, eps, x_adv, grad = (row[goes_on] for row in (x, y, eps, x_adv, grad))
            if step == self.steps or not len(y):
                break
            ahead = best(x, grad, eps, self.reach)
            x_adv = (x_adv + 2 / (step + 2) * (ahead - x_adv)).clamp(0, 1)
        return kept.x_adv, kept.wrong
