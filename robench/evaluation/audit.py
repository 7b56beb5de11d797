"""What an audit of a random part says of the rest."""

from dataclasses import dataclass

from scipy.stats import hypergeom


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what that leaves open."""

    stood: int
    """Images that stood before it."""
    looked: int
    """How many of them it attacked: drawn at random, or all."""
    fell: int
    """How many of those fell; if any did, the rest was attacked as well."""
    bound: float
    """With 95 % confidence, no larger share of what stood would have fallen unseen."""


def most_missed(looked: int, stood: int) -> float:
    """That bound when nothing has fallen, exact for draws without replacement.

    For ``looked`` far below ``stood`` it is about ``1 - 0.05 ** (1 / looked)``: 0.6 % for 500.
    """
    if looked == stood:
        return 0.0
    low, high = 0, stood  # so many unseen ones are possible; so many are not
    while high - low > 1:
        middle = (low + high) // 2
        if hypergeom.pmf(0, stood, middle, looked) >= 0.05:
            low = middle
        else:
            high = middle
    return low / stood
