"""Images that are made smaller at random, and lie somewhere in a black frame of their old size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RandomResize(nn.Module):
    """Each image at a side of its own from ``smallest`` of its side up, in a place of its own.

    Whole pixels, nearest neighbours. Draws from torch's generator.
    """

    def __init__(self, smallest: float) -> None:
        super().__init__()
        self.smallest = smallest

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to the same shape."""
        least = min(round(self.smallest * x.shape[2]), x.shape[2])
        sides = torch.randint(least, x.shape[2] + 1, (len(x),), device=x.device)
        scale = x.shape[2] / sides  # of an image's coordinates, which go from -1 to 1
        offsets = (torch.rand(2, len(x), device=x.device) * (x.shape[2] - sides + 1)).floor()
        centre = (2 * offsets + sides) / x.shape[2] - 1
        theta = torch.zeros(len(x), 2, 3, device=x.device)
        theta[:, 0, 0] = theta[:, 1, 1] = scale
        theta[:, :, 2] = (-scale * centre).T
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, mode="nearest", padding_mode="zeros", align_corners=False)
