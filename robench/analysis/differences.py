"""How much two methods differ, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit  # scipy.stats asks these, after much else

Numbers = npt.NDArray[np.float64]
Outcome = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """One minus the other, with a 95 % interval."""

    mean: float
    low: float
    high: float
    seeds: int


def paired(
    ours: Sequence[npt.NDArray[np.bool_]], theirs: Sequence[npt.NDArray[np.bool_]]
) -> Difference:
    """Of shares, from the outcomes of the same images, (N,), seed by seed.

    Two things vary: the images that happen to be tested, and the trainings. The first is the
    normal interval of an image's mean difference, the second Student's of a seed's; the halves are
    added in quadrature. With one seed only the first is known.
    """
    apart = np.stack(ours).astype(float) - np.stack(theirs).astype(float)  # (seeds, images)
    of_images = _half(apart.mean(0), float(ndtri(0.975)))
    return _interval(apart.mean(1), of_images)


def of_values(ours: Numbers, theirs: Numbers, halves: float = 0.0) -> Difference:
    """Of numbers seed by seed, (seeds,); ``halves``: of a single seed's own interval."""
    return _interval(ours - theirs, halves if len(ours) == 1 else 0.0)


def _interval(by_seed: Numbers, other: float) -> Difference:
    seeds, mean = len(by_seed), float(by_seed.mean())
    of_seeds = _half(by_seed, float(stdtrit(seeds - 1, 0.975))) if seeds > 1 else 0.0
    half = float(np.hypot(of_seeds, other))
    return Difference(mean, mean - half, mean + half, seeds)


def _half(values: Numbers, quantile: float) -> float:
    """Half the interval of a mean."""
    if len(values) < 2:
        return 0.0
    return quantile * float(values.std(ddof=1)) / len(values) ** 0.5
