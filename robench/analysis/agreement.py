"""Whether several suites, or norms, break the same images of the same networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robench.analysis.summary import TRAINING, Summary
from robench.analysis.worst import Side

_SHARED = (*TRAINING, "test_limit", "n")
"""What has to be the same: the networks, and the images that they are attacked on."""


@dataclass(frozen=True)
class Agreement:
    """Tables of the same networks and images."""

    shared: dict[str, object]
    checkpoint: str
    names: tuple[str, ...]
    """Suite, norm and radius of each."""
    shares: npt.NDArray[np.float64]
    """(K, K): of all images, those that fall to the row and stand against the column; NaN where no
    network met both."""
    networks: npt.NDArray[np.int64]
    """(K, K): how many met both."""


def agreements(found: Sequence[tuple[Summary, Sequence[Side]]]) -> list[Agreement]:
    """One for each group of two tables or more that have networks and images in common."""
    groups: dict[tuple[object, ...], list[tuple[Summary, Sequence[Side]]]] = {}
    for summary, sides in found:
        if sides:
            same = (summary.shared[name] for name in _SHARED)
            groups.setdefault((summary.checkpoint, *same), []).append((summary, sides))
    every = [_agreement(group) for group in groups.values() if len(group) > 1]
    return [one for one in every if np.triu(one.networks, 1).any()]


def _agreement(group: Sequence[tuple[Summary, Sequence[Side]]]) -> Agreement:
    first = group[0][0]
    stands = [
        {(side.label, seed): mask for side in sides for seed, mask in side.stands.items()}
        for _, sides in group
    ]
    size = len(group)
    shares, networks = np.full((size, size), np.nan), np.zeros((size, size), dtype=np.int64)
    for row, ours in enumerate(stands):
        for column, theirs in enumerate(stands):
            both = sorted(ours.keys() & theirs.keys())
            networks[row, column] = len(both)
            if both and row != column:
                only = [(theirs[key] & ~ours[key]).mean() for key in both]
                shares[row, column] = float(np.mean(only))
    return Agreement(
        {name: first.shared[name] for name in _SHARED},
        first.checkpoint,
        tuple(_named(summary) for summary, _ in group),
        shares,
        networks,
    )


def _named(summary: Summary) -> str:
    shared = summary.shared
    own = " (stochastic)" if shared["verdict"] == "stochastic" else ""
    return f"{shared['suite']}{own} {shared['norm']} {summary.headline}"
