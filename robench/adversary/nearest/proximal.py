"""Proximal maps: what lies near a perturbation and is smaller, image by image."""

import torch
from torch import Tensor

from robench.adversary.nearest.nearest import Nearness
from robench.adversary.simplex import nearest
from robench.threat import per_image


def proximal(delta: Tensor, weight: Tensor, norm: Nearness) -> Tensor:
    """The least of  |z - delta|^2 / 2 + weight x size(z)  over perturbations z (B, C, H, W).

    ``weight`` is (B,) and over 0. The size is the norm; in L0 it is the sum over pixels of their
    L2 length to the power 2/3, which has a proximal map in closed form and, unlike the number of
    pixels, shrinks what it keeps.
    """
    weight = per_image(weight, delta)
    if norm == "Linf":
        return delta - weight * _in_octahedron(delta / weight)
    if norm == "L1":
        return delta.sign() * (delta.abs() - weight).clamp_min(0)
    if norm == "L2":
        length = per_image(delta.flatten(1).norm(dim=1), delta)
        return delta * (1 - weight / length.clamp_min(1e-30)).clamp_min(0)
    length = delta.norm(dim=1, keepdim=True)
    return delta * (_two_thirds(length, weight) / length.clamp_min(1e-30))


def _in_octahedron(delta: Tensor) -> Tensor:
    """The nearest perturbations whose L1 length is 1 at most."""
    size = delta.abs().flatten(1)
    inside = (size.sum(1) <= 1)[:, None]
    return delta.sign() * torch.where(inside, size, nearest(size)).view_as(delta)


def _two_thirds(size: Tensor, weight: Tensor) -> Tensor:
    """The least of (z - size)^2 / 2 + weight x z^(2/3) over z >= 0, for sizes of 0 or more.

    Where it is not 0, z solves a quartic equation, whose largest root Ferrari's formula gives
    (Krishnan & Fergus 2009, "Fast image deconvolution using hyper-Laplacian priors").
    """
    root = (size**4 / 256 - 8 * weight**3 / 729).clamp_min(0).sqrt()
    one = (size.square() / 16 + root).clamp_min(1e-30) ** (1 / 3)
    bend = 2 * (one + 2 / 9 * weight / one)
    found = (bend.sqrt() + (2 * size / bend.sqrt() - bend).clamp_min(0).sqrt()) ** 3 / 8
    return torch.where(size > 2 / 3 * (24 * weight**3) ** 0.25, found, 0)
