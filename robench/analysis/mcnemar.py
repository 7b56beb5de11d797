"""McNemar's exact test of networks on the same images, all pairs of them at once."""

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from robench.analysis.differences import Outcome

Counts = npt.NDArray[np.int64]
Chances = npt.NDArray[np.float64]


def discordant(outcomes: Outcome) -> Counts:
    """How many images stand with the row's network and fall with the column's, (K, K).

    From which of N images stand with each of K networks, (K, N).
    """
    stand = outcomes.astype(np.float32)  # counts are exact up to 16 million images
    found: Counts = np.rint(stand @ (1 - stand).T).astype(np.int64)
    return found


def mcnemar(only_first: Counts, only_second: Counts) -> Chances:
    """Two-sided p, of any shape: how likely so uneven a split is, were each image a fair coin.

    Only images that one of the two networks gets right are such coins; with none, p is 1. The test
    is of these two networks: that another training may come out differently is not in it.
    """
    fewer, all_of_them = np.minimum(only_first, only_second), only_first + only_second
    found: Chances = np.minimum(1.0, 2 * binom.cdf(fewer, all_of_them, 0.5))
    return found
