"""Deep pursuit: a network that looks for the codes of all its layers together.

After Cazenavette, Murdock & Lucey 2021 (arXiv:2011.14427); the network, its steps and what bounds
them are ours. Attacks meet all of it: gradients go through every round.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.models.classifier import Layers


class Block(nn.Module):
    """A part of a dictionary: patterns that a code adds up to a map, or that are read off one.

    They tile the map, or reach over each other's rims by a place on every side.
    """

    def __init__(self, inside: int, outside: int, stride: int, *, tiles: bool) -> None:
        super().__init__()
        kernel = stride if tiles else stride + 2
        self.weight = nn.Parameter(torch.empty(outside, inside, kernel, kernel))
        nn.init.kaiming_normal_(self.weight)
        self.stride, self.padding = stride, int(not tiles)
        self.overlap = (-(-kernel // stride)) ** 2
        """Patterns that one place of the map lies in, at most."""

    def read(self, x: Tensor, scale: Tensor) -> Tensor:
        """How much of each pattern there is at each place of a map."""
        return F.conv2d(x, scale * self.weight, stride=self.stride, padding=self.padding)

    def write(self, code: Tensor, scale: Tensor) -> Tensor:
        """The map that a code adds up to: the transpose of ``read``."""
        weight = scale * self.weight
        return F.conv_transpose2d(code, weight, stride=self.stride, padding=self.padding)

    def gram(self) -> Tensor:
        """Over ``read`` of ``write`` in the order of matrices, at each place: Cauchy-Schwarz."""
        patterns = self.weight.flatten(1)
        return self.overlap * patterns @ patterns.T


class Layer(nn.Module):
    """A dictionary with a block for each map that its code explains, and the code's penalties."""

    def __init__(self, blocks: Sequence[Block], width: int, readers: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(blocks)
        self.penalties = nn.Parameter(torch.full((width, 1, 1), 1e-3))
        self.step = 1 / (1 + readers)
        """One over the gradient's Lipschitz constant: the dictionary's, one for each reader."""

    @property
    def blocks(self) -> list[Block]:
        """One for each map, the nearest first."""
        return cast("list[Block]", list(self.parts))

    def scale(self) -> Tensor:
        """What brings the dictionary's norm down to one at most."""
        return largest(torch.stack([b.gram() for b in self.blocks]).sum(0)).clamp_min(1).rsqrt()

    def read(self, maps: Sequence[Tensor], scale: Tensor) -> Tensor:
        """How much of each pattern there is in all maps."""
        parts = zip(self.blocks, maps, strict=True)
        return torch.stack([block.read(x, scale) for block, x in parts]).sum(0)

    def write(self, code: Tensor, scale: Tensor) -> list[Tensor]:
        """Each map as the code has it."""
        return [block.write(code, scale) for block in self.blocks]

    def moved(self, code: Tensor | float, pull: Tensor) -> Tensor:
        """A proximal step: ``pull`` is minus the gradient of the squares."""
        return F.relu(code + self.step * (pull - self.penalties.abs()))


class Pursuit(nn.Module):
    """An image to the highest of its codes.

    Codes w_1, w_2, ... that are nowhere negative lower, w_0 being the image,

        sum over l of  |w_{l-1} - B_l w_l|^2 / 2 + |w_{l-2} - C_l w_l|^2 / 2 + lambda_l |w_l|_1 .

    B_l and C_l, the blocks for the map below and for the one below that (a skip connection), make
    up a dictionary. Each of ``steps`` rounds takes each code, the lowest first, one proximal
    gradient step from where all codes are by then, so no step raises the sum. They start at zero:
    one round is a feed-forward network with rectifiers and biases -lambda, its layers scaled by
    their step sizes.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], strides: Sequence[int], steps: int
    ) -> None:
        super().__init__()
        maps, top = (channels, *widths), len(widths)
        layers = []
        for at, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            blocks = [Block(maps[at], width, stride, tiles=False)]
            if at:
                blocks.append(Block(maps[at - 1], width, stride * strides[at - 1], tiles=True))
            layers.append(Layer(blocks, width, min(2, top - 1 - at)))
        self.parts, self.steps = nn.ModuleList(layers), steps

    @property
    def layers(self) -> list[Layer]:
        """The lowest first."""
        return cast("list[Layer]", list(self.parts))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, the last width, ...)."""
        return self.codes(x)[-1]

    def codes(self, x: Tensor) -> list[Tensor]:
        """The image and, from the lowest, its codes."""
        scales, maps = [layer.scale() for layer in self.layers], [x]
        for layer, scale in zip(self.layers, scales, strict=True):
            maps.append(layer.moved(0.0, layer.read(_below(maps), scale)))
        for _ in range(self.steps - 1):
            maps = self._round(maps, scales)
        return maps

    def _round(self, maps: list[Tensor], scales: list[Tensor]) -> list[Tensor]:
        """Each code moved by what it leaves unexplained, and by what is said of it from above."""
        layers, maps = self.layers, maps.copy()
        # Used only before the code itself moves, so once a round is enough.
        said = [layer.write(w, s) for layer, w, s in zip(layers, maps[1:], scales, strict=True)]
        for at, layer in enumerate(layers, 1):
            parts = zip(_below(maps[:at]), said[at - 1], strict=True)
            pull = layer.read([whole - part for whole, part in parts], scales[at - 1])
            for up, reader in enumerate(said[at : at + 2]):
                pull = pull + (reader[up] - maps[at])
            maps[at] = layer.moved(maps[at], pull)
        return maps


def pursuit(channels: int, classes: int, steps: int) -> Layers:
    """Three codes; the highest is normalised, and its mean over each quarter classified."""
    codes = Pursuit(channels, (32, 64, 64), (2, 2, 1), steps)
    body = nn.Sequential(codes, nn.BatchNorm2d(64), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return body, nn.Linear(256, classes)


def largest(matrix: Tensor, squarings: int = 3) -> Tensor:
    """At least the largest eigenvalue of a symmetric matrix, n^(1/16) times it at most.

    The Frobenius norm of its eighth power, to the eighth root: products of matrices alone, so it
    costs little, has gradients and waits for no device.
    """
    found, power = torch.ones_like(matrix[0, 0]), 1.0
    for _ in range(squarings + 1):
        size = matrix.norm().clamp_min(1e-12)
        found, power = found * size**power, power / 2
        matrix = (matrix / size) @ (matrix / size)
    return found


def _below(maps: Sequence[Tensor]) -> Sequence[Tensor]:
    """The two last maps, which the next code explains, the nearest first; or the only one."""
    return maps[-1:-3:-1]
