"""Whether several attacks, suites or norms break the same images of the same networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.analysis.images import alone
from robench.analysis.measured import Measured
from robench.analysis.summary import TRAINING, Summary
from robench.analysis.worst import Side
from robench.errors import StoreError

_SHARED = (*TRAINING, "test_limit", "n")
"""What has to be the same: the networks, and the images that they are attacked on."""

Masks = Mapping[Any, npt.NDArray[np.bool_]]
"""By network: which of its images, (N,), stand."""


@dataclass(frozen=True)
class Agreement:
    """What several attacked on the same networks and images."""

    shared: dict[str, object]
    checkpoint: str
    names: tuple[str, ...]
    """Suite, norm and radius of each; of the attacks of one suite their names."""
    shares: npt.NDArray[np.float64]
    """(K, K): of all images, those that fall to the row and stand against the column; NaN where no
    network met both."""
    networks: npt.NDArray[np.int64]
    """(K, K): how many met both."""
    by: str = ""
    """The suite that all are attacks of, and its place; empty: they are suites."""


def agreements(found: Sequence[tuple[Summary, Sequence[Side]]]) -> list[Agreement]:
    """One for each group of two tables or more that have networks and images in common."""
    groups: dict[tuple[object, ...], list[tuple[Summary, Sequence[Side]]]] = {}
    for summary, sides in found:
        if sides:
            same = (summary.shared[name] for name in _SHARED)
            groups.setdefault((summary.checkpoint, *same), []).append((summary, sides))
    every = [_agreement(group) for group in groups.values() if len(group) > 1]
    return [one for one in every if np.triu(one.networks, 1).any()]


def between_attacks(found: Measured, results: Path) -> Agreement | None:
    """Between the attacks of a suite that runs each on every image; none of fewer than two.

    Nothing is said of other suites, where an attack meets only what those before it left.

    Raises:
        StoreError: outcomes are missing or damaged, or of different numbers of images.
    """
    stands: dict[str, dict[str, npt.NDArray[np.bool_]]] = {}
    for row in found.evaluations:
        for attack, mask in alone(row, results).items():
            stands.setdefault(attack, {})[row["cell"]] = mask
    if len(stands) < 2:
        return None
    n = {len(mask) for masks in stands.values() for mask in masks.values()}
    if len(n) > 1:
        raise StoreError(f"the networks of {found.shared['suite']} met different test images")
    shared = {**found.shared, "n": n.pop()}
    by = f"{shared['suite']} at {shared['norm']} {shared['eps']}"
    return Agreement(
        shared, str(shared["checkpoint"]), tuple(stands), *_shares([*stands.values()]), by
    )


def _agreement(group: Sequence[tuple[Summary, Sequence[Side]]]) -> Agreement:
    first = group[0][0]
    stands = [
        {(side.label, seed): mask for side in sides for seed, mask in side.stands.items()}
        for _, sides in group
    ]
    return Agreement(
        {name: first.shared[name] for name in _SHARED},
        first.checkpoint,
        tuple(_named(summary) for summary, _ in group),
        *_shares(stands),
    )


def _shares(stands: Sequence[Masks]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Means over networks of what falls to each and stands against each other, and how many."""
    size = len(stands)
    shares, networks = np.full((size, size), np.nan), np.zeros((size, size), dtype=np.int64)
    for row, ours in enumerate(stands):
        for column, theirs in enumerate(stands):
            both = sorted(ours.keys() & theirs.keys())  # so that rounding is the same every time
            networks[row, column] = len(both)
            if both and row != column:
                only = [(theirs[key] & ~ours[key]).mean() for key in both]
                shares[row, column] = float(np.mean(only))
    return shares, networks


def _named(summary: Summary) -> str:
    shared = summary.shared
    own = " (stochastic)" if shared["verdict"] == "stochastic" else ""
    return f"{shared['suite']}{own} {shared['norm']} {summary.headline}"
