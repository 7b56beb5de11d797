"""The threat model: which perturbed images count as the same image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.radius import BALLS, Norm


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
        return self.norm in BALLS

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """The nearest image of the ball, then cut to [0, 1] (which never leaves the ball).

        In L1 it is the nearest of all that are in the ball and in [0, 1], because cutting makes
        room for other pixels there.
        """
        if not self.is_ball:
            return x_adv.clamp(0, 1)
        eps = per_image(self.eps, x)
        if self.norm == "Linf":
            return torch.maximum(torch.minimum(x_adv, x + eps), x - eps).clamp(0, 1)
        delta = x_adv - x
        if self.norm == "L1":
            there = per_image(self.distance(x_adv, x), x) <= eps
            shrunk = x + _shrunk(delta, torch.where(delta > 0, 1 - x, x), eps)
            return torch.where(there & (x_adv == x_adv.clamp(0, 1)), x_adv, shrunk).clamp(0, 1)
        length = per_image(_length(delta), x)
        inside = torch.where(length > eps, x + delta * (eps / length), x_adv)
        return inside.clamp(0, 1)

    def random_start(self, x: Tensor) -> Tensor:
        """An image drawn uniformly from the ball, then cut to [0, 1]."""
        eps = per_image(self.eps, x)
        if self.norm == "Linf":
            noise = torch.empty_like(x).uniform_(-1, 1)
        elif self.norm == "L1":
            noise = _in_octahedron(x)
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
        """The step of length one that raises a loss with this gradient most; zero stays zero.

        In L1 that would be one pixel a step; the largest 5 % of the entries share the length
        instead (Tramer & Boneh 2019, arXiv:1904.13000).
        """
        if self.norm == "Linf":
            return grad.sign()
        if self.norm == "L1":
            return _sparse(grad)
        # Dividing by the largest entry first keeps gradients of 1e-30 from being rounded to zero.
        largest = per_image(grad.flatten(1).abs().amax(1), grad)
        scaled = torch.where(largest == 0, 0, grad / largest)
        return scaled / per_image(_length(scaled), grad).clamp_min(1)

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Size of each image's perturbation in this norm, shape (B,); 0 where it cannot be told."""
        if not self.is_ball:
            return torch.zeros(len(x), device=x.device)
        delta = (x_adv - x).flatten(1)
        if self.norm == "Linf":
            return delta.abs().amax(1)
        return delta.double().abs().sum(1).to(x.dtype) if self.norm == "L1" else delta.norm(dim=1)


def _length(delta: Tensor) -> Tensor:
    return delta.flatten(1).norm(dim=1)


def _in_octahedron(x: Tensor) -> Tensor:
    """Uniform in the L1 ball of radius one: spacings of ordered numbers, with random signs."""
    gaps = torch.empty(len(x), x[0].numel() + 1, device=x.device, dtype=x.dtype).exponential_()
    shares = gaps[:, 1:] / gaps.sum(1, keepdim=True)
    return (shares * (2 * torch.randint_like(shares, 2) - 1)).view_as(x)


def _sparse(grad: Tensor, share: float = 0.05) -> Tensor:
    """Signs of the largest entries of each image, of length one in L1; zero where all are zero."""
    flat = grad.flatten(1)
    top = flat.abs().topk(max(1, round(share * flat.shape[1])), dim=1)
    signs = torch.zeros_like(flat).scatter(1, top.indices, flat.gather(1, top.indices).sign())
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).view_as(grad)


def _shrunk(delta: Tensor, room: Tensor, eps: Tensor) -> Tensor:
    """The nearest point to ``delta`` whose entries fit their room and whose L1 length is eps.

    It is sign(delta) * clamp(|delta| - t, 0, room) for one t >= 0 an image. The length falls
    piecewise linearly in t, with a corner wherever an entry leaves its room's end (|delta| - room)
    or comes to zero (|delta|), so t is found exactly among the sorted corners.
    """
    size, most = delta.abs().flatten(1).double(), room.flatten(1).double()  # sums of thousands
    radius = eps.expand(len(size), *eps.shape[1:]).reshape(-1, 1)
    corners = torch.cat([size, (size - most).clamp_min(0)], dim=1)
    slopes = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1)
    corners, order = corners.sort(dim=1, descending=True)
    slopes = slopes.gather(1, order)
    total, slope = (corners * slopes).cumsum(1), slopes.cumsum(1)
    lengths = total - slope * corners  # at each corner; they rise from left to right
    last = (lengths <= radius).sum(1, keepdim=True) - 1
    shift = (total.gather(1, last) - radius) / slope.gather(1, last).clamp_min(1)
    shrunk = (size - shift.clamp_min(0)).clamp_min(0).minimum(most)
    return delta.sign() * shrunk.to(delta.dtype).view_as(delta)
