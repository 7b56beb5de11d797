"""The nearest image that a generator can make, in the place of the one that is shown."""

import torch
from torch import Tensor, nn

from robench.models.detour import Detour
from robench.models.generator import Generator


class Projection(Detour):
    """G(z) for the z at which it is nearest to x, found by gradient descent from several starts.

    As in the code of Samangouei et al. 2018 (arXiv:1805.06605): the mean squared difference, with
    momentum 0.7 and a tenth of the rate in the last fifth of the steps. The starts are drawn once
    and stay. Its detour is the descent itself, unrolled.
    """

    starts: Tensor

    def __init__(self, generator: Generator, starts: int, steps: int, rate: float) -> None:
        super().__init__()
        self.generator, self.steps, self.rate = generator, steps, rate
        codes = torch.randn(starts, generator.latent) / generator.latent**0.5
        self.register_buffer("starts", codes)

    def exact(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1], all of the generator's making."""
        return self._nearest(x, unrolled=False).detach()

    def smooth(self, x: Tensor) -> Tensor:
        """The same, with what the steps of the descent owe to x."""
        return self._nearest(x, unrolled=True)

    @torch.enable_grad()
    def _nearest(self, x: Tensor, *, unrolled: bool) -> Tensor:
        count = len(self.starts)
        wanted, z = x.repeat_interleave(count, 0), self.starts.repeat(len(x), 1)
        moving = torch.zeros_like(z)
        for step in range(self.steps):
            z = (z if unrolled else z.detach()).requires_grad_()
            apart = (self.generator(z) - wanted).square().flatten(1).mean(1)
            (grad,) = torch.autograd.grad(apart.sum(), z, create_graph=unrolled)
            rate = self.rate if step < 0.8 * self.steps else 0.1 * self.rate
            moving = 0.7 * moving - rate * grad
            z = z + moving
        made: Tensor = self.generator(z)
        apart = (made - wanted).square().flatten(1).mean(1)
        best = apart.view(-1, count).argmin(1) + count * torch.arange(len(x), device=x.device)
        return made[best]


class Projected(nn.Module):
    """A projection before a classifier."""

    def __init__(self, projection: Projection, classifier: nn.Module) -> None:
        super().__init__()
        self.projection, self.classifier = projection, classifier

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images in [0, 1]."""
        logits: Tensor = self.classifier(self.projection(x))
        return logits
