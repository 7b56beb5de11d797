"""Verdicts, image by image: which differ, and on which the package contradicts itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.parity.rounds import Round


@dataclass(frozen=True)
class Difference:
    """An image on whose verdict the two differ for the same seed."""

    seed: int
    image: int
    """Its place among those attacked."""
    stands: bool
    """After the package's attacks; after robench's it is the other way."""
    noise: bool
    """Whether the package contradicts itself on the image with another seed."""


def verdicts(rounds: Sequence[Round], side: str) -> dict[int, tuple[bool, ...]]:
    """The verdicts of one side by seed; the last round of a seed counts."""
    return {played.seed: played.sides[side].stands for played in rounds}


def differences(rounds: Sequence[Round], side: str = "robench") -> list[Difference]:
    """Where a side and the package differ; a second seed may show that it is noise."""
    package, ours = verdicts(rounds, "package"), verdicts(rounds, side)
    return [
        Difference(seed, image, stands, noise=image in wavering(package))
        for seed in package
        for image, stands in enumerate(package[seed])
        if stands != ours[seed][image]
    ]


def wavering(by_seed: Mapping[int, Sequence[bool]]) -> set[int]:
    """Images whose verdict depends on the seed."""
    columns = enumerate(zip(*by_seed.values(), strict=True))
    return {image for image, stands in columns if len(set(stands)) > 1}


@dataclass(frozen=True)
class Tally:
    """Images that robench calls robust with its first seed, and what the package makes of them."""

    robust: int
    broken: int
    """By the package with any of the seeds; each is one of the next three."""
    same: int
    """robench breaks it, too, with every seed with which the package does."""
    noise: int
    """The package does not break it with every seed."""
    left: int
    """Neither: robench has missed what the package finds."""


def tally(rounds: Sequence[Round]) -> Tally:
    """What the package breaks with any seed, among what robench calls robust."""
    package, ours = verdicts(rounds, "package"), verdicts(rounds, "robench")
    first = ours[rounds[0].seed]
    robust = [image for image, stands in enumerate(first) if stands]
    broken = [i for i in robust if not all(stands[i] for stands in package.values())]
    same = {i for i in broken if not any(ours[s][i] and not package[s][i] for s in package)}
    noise = wavering(package) & set(broken) - same
    return Tally(
        len(robust), len(broken), len(same), len(noise), len(broken) - len(same) - len(noise)
    )
