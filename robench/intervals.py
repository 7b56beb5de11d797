"""Intervals on accuracies."""

import math

from scipy.special import ndtri

_Z = float(ndtri(0.975))


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share ``right / n`` (Newcombe 1998, method 3).

    To the last bit what scipy's ``binomtest`` gives, which takes milliseconds for its p as well.
    """
    share, square = right / n, _Z**2
    centre = (2 * n * share + square) / (2 * (n + square))
    half = _Z / (2 * (n + square)) * math.sqrt(4 * n * share * (1 - share) + square)
    return centre - half if right else 0.0, centre + half if right < n else 1.0
