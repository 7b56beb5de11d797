"""The interval of a difference by drawing images and trainings again."""

from collections.abc import Sequence

import numpy as np

from robench.analysis.differences import Difference, Outcome

RESAMPLES = 2000
"""The ends then move by about a sixtieth of the interval's length with the seed."""


def bootstrapped(
    ours: Sequence[Outcome], theirs: Sequence[Outcome], resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """The paired 95 % percentile interval, from outcomes of the same images, (N,), seed by seed.

    Seeds and, independently of them, images are drawn with replacement, the same for both sides, so
    it covers the choice of test images and, with several seeds, of trainings, without a normal
    distribution of either. The randomness of a defence is covered as far as it differs from image
    to image and training to training. Not covered: a single training, an attack that is too
    weak, what one look at a random defence shares over all images. Of few seeds it is too short:
    three of them have ten different samples (see benchmarks/README.md). Where all images agree, it
    has no length.
    """
    apart = np.stack(ours).astype(np.int8) - np.stack(theirs).astype(np.int8)  # (seeds, images)
    seeds, images = apart.shape
    # Images with the same differences are interchangeable, and there are few kinds of them.
    kinds, counts = np.unique(apart, axis=1, return_counts=True)
    random = np.random.default_rng(seed)
    drawn_images = random.multinomial(images, counts / images, size=resamples) / images
    drawn_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    means = ((drawn_seeds @ kinds) * drawn_images).sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(apart.mean()), float(low), float(high), seeds)
