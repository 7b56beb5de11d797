"""The threat model: which perturbed images count as the same image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.radius import NORMS, Norm


def per_image(value: float | Tensor, like: Tensor) -> Tensor:
    """A number, or one number for each image, shaped to multiply a batch of images."""
    value = torch.as_tensor(value, device=like.device, dtype=like.dtype)
    return value.view(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True)
class Threat:
    """Images within ``eps`` of the original in ``norm`` and inside [0, 1].

    ``eps`` may hold one radius for each image of the batch, shape (B,). What a flow makes of an
    image cannot be told from the two images: its attacks keep the bound, here is only [0, 1].
    """

    norm: Norm
    eps: float | Tensor

    def at(self, index: Tensor) -> "Threat":
        """The threat model of some of the images: positions, or a mask."""
        return self if isinstance(self.eps, float | int) else Threat(self.norm, self.eps[index])

    @property
    def is_ball(self) -> bool:
        """Whether it can be told from an image if it is inside."""
        return self.norm in NORMS

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """The nearest image of the ball, then cut to [0, 1] (which never leaves the ball)."""
        if not self.is_ball:
            return x_adv.clamp(0, 1)
        eps = per_image(self.eps, x)
        if self.norm == "Linf":
            return torch.maximum(torch.minimum(x_adv, x + eps), x - eps).clamp(0, 1)
        delta = x_adv - x
        length = per_image(_length(delta), x)
        inside = torch.where(length > eps, x + delta * (eps / length), x_adv)
        return inside.clamp(0, 1)

    def random_start(self, x: Tensor) -> Tensor:
        """An image drawn uniformly from the ball, then cut to [0, 1]."""
        eps = per_image(self.eps, x)
        if self.norm == "Linf":
            noise = torch.empty_like(x).uniform_(-1, 1)
        else:
            share = torch.rand(len(x), device=x.device, dtype=x.dtype) ** (1 / x[0].numel())
            noise = self.direction(torch.randn_like(x)) * per_image(share, x)
        return self.project(x + eps * noise, x)

    def rim(self, x: Tensor, share: float = 1.0) -> Tensor:
        """A random image whose perturbation is a ``share`` of eps long, then cut to [0, 1].

        Linf: uniform noise, stretched until its largest entry is eps; L2: a uniform direction.
        """
        noise = 2 * torch.rand_like(x) - 1 if self.norm == "Linf" else torch.randn_like(x)
        length = per_image(self.distance(noise, torch.zeros_like(x)), x)
        return (x + per_image(self.eps, x) * (noise / length) * share).clamp(0, 1)

    def direction(self, grad: Tensor) -> Tensor:
        """The step of length one that raises a loss with this gradient most; zero stays zero."""
        if self.norm == "Linf":
            return grad.sign()
        # Dividing by the largest entry first keeps gradients of 1e-30 from being rounded to zero.
        largest = per_image(grad.flatten(1).abs().amax(1), grad)
        scaled = torch.where(largest == 0, 0, grad / largest)
        return scaled / per_image(_length(scaled), grad).clamp_min(1)

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Size of each image's perturbation in this norm, shape (B,); 0 where it cannot be told."""
        if not self.is_ball:
            return torch.zeros(len(x), device=x.device)
        delta = (x_adv - x).flatten(1)
        return delta.abs().amax(1) if self.norm == "Linf" else delta.norm(dim=1)


def _length(delta: Tensor) -> Tensor:
    return delta.flatten(1).norm(dim=1)
