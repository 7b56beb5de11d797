"""Random numbers for a part of a data set, a row for each image."""

import numpy as np
import torch
from torch import Tensor

PART = 100
"""Images that share a stream."""


class Draws:
    """What is drawn for ``count`` images, (count, ...), the same for ever.

    Rows are drawn for a whole part and the first ones kept, so that an image's numbers do not
    depend on how many follow it.
    """

    def __init__(self, seed: int, count: int) -> None:
        # numpy promises that RandomState's stream stays the same; its newer generators do not.
        self._random, self.count = np.random.RandomState(seed), count

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return self._kept(self._random.standard_normal((max(PART, self.count), *shape)))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Between two ends."""
        return self._kept(self._random.uniform(low, high, (max(PART, self.count), *shape)))

    def poisson(self, mean: Tensor) -> Tensor:
        """Counts of the given means, (count, ...); rows are drawn one after the other."""
        return torch.from_numpy(self._random.poisson(mean.double().numpy())).float()

    def _kept(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(rows[: self.count]).float()
