"""Intervals on accuracies."""

from scipy.stats import binomtest


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share ``right / n``."""
    interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
