"""Transfer between the methods of a folder: transfer.csv, its matrices, and signs of masking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

from robench.errors import StoreError
from robench.intervals import wilson
from robench.printable import printable

FILE = "transfer.csv"

OTHERS = "all others"
"""The source that is all networks but the target; no method can be called so."""

COUNTS = ("seed", "n", "n_right", "n_stands", "n_only_source", "n_only_own")

SHARED = ("dataset", "model", "norm", "eps", "checkpoint", "attack", "n")
"""What one matrix has in common."""

_TEXTS = (*SHARED[:-1], "source", "target", "source_deviates", "target_deviates", "cell")

COLUMNS = (
    "dataset", "model", "norm", "eps", "seed", "checkpoint", "attack", "source", "target",
    "source_deviates", "target_deviates", "n", "n_right", "n_stands", "natural_accuracy",
    "robust_accuracy", "ci_low", "ci_high", "n_only_source", "n_only_own", "cell",
)  # fmt: skip
"""A row a seed, source and target. ``n_only_source`` images fall to the source's and stand the
target's own; ``n_only_own`` the other way round; both empty where there is no own attack."""

CHANCE = 0.01
"""That a target without masked gradients is called masked, over all of its sources."""

Outcome = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sign:
    """A source that breaks more of a target than the target's own gradients do."""

    target: str
    source: str
    seed: int
    only_source: int
    """Images that fall to the source's alone."""
    only_own: int


@dataclass(frozen=True)
class Matrix:
    """Accuracies in [0, 1] by source and target, means over seeds; NaN where there is none."""

    shared: dict[str, object]
    seeds: dict[str, int]
    """Of each target: how many it has."""
    robust: pd.DataFrame
    """Rows are sources, columns targets, from the least robust under its own attack on."""
    natural: pd.Series
    """By target."""
    deviates: dict[str, str]
    """Of methods that depart from the shared recipe: how."""
    signs: tuple[Sign, ...]

    @property
    def targets(self) -> list[str]:
        """Methods, in the order of the columns."""
        return [str(name) for name in self.robust.columns]


def row(right: Outcome, stands: Outcome, own: Outcome | None) -> dict[str, object]:
    """The numbers of a pair, from the outcomes of each image, (N,); ``own``: of its own attack."""
    n, standing = len(right), int(stands.sum())
    low, high = wilson(standing, n)
    return {
        "n": n,
        "n_right": int(right.sum()),
        "n_stands": standing,
        "natural_accuracy": right.mean(),
        "robust_accuracy": stands.mean(),
        "ci_low": low,
        "ci_high": high,
        "n_only_source": None if own is None else int((own & ~stands).sum()),
        "n_only_own": None if own is None else int((stands & ~own).sum()),
    }


def read(results: Path) -> pd.DataFrame:
    """The table that ``robench transfer`` has left in a results folder; empty without one.

    Raises:
        StoreError: it is no such table.
    """
    path = results / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    types = dict.fromkeys(_TEXTS, str) | dict.fromkeys(COUNTS, "Int64")
    try:
        empty = dict.fromkeys(COUNTS, "")
        frame = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=empty)
    except (ValueError, OverflowError, TypeError, OSError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if problem := _problem(frame):
        raise StoreError(f"{path} is no table of transfers: {problem}; not used")
    for name in _TEXTS:
        frame[name] = frame[name].map(printable)
    return frame


def _problem(frame: pd.DataFrame) -> str:
    if missing := [name for name in COLUMNS if name not in frame]:
        return f"no column {missing[0]}"
    if not isinstance(frame.index, pd.RangeIndex):
        return "a row is longer than its header"
    stands, right, n = frame["n_stands"], frame["n_right"], frame["n"]
    if frame[["seed", "n", "n_right", "n_stands"]].isna().any(axis=None):
        return "a count is missing"
    if not ((stands >= 0) & (stands <= right) & (right <= n) & (n > 0)).all():
        return "counts that cannot be"
    if not (frame[["n_only_source", "n_only_own"]].fillna(0) >= 0).all(axis=None):
        return "counts that cannot be"
    if frame.duplicated([*SHARED, "seed", "source", "target"]).any():
        return "two rows for one place"
    return ""


def matrices(frame: pd.DataFrame) -> list[Matrix]:
    """Every matrix that a transfer.csv comes to; only seeds are averaged."""
    if frame.empty:
        return []
    return [_matrix(key, part) for key, part in frame.groupby(list(SHARED), sort=True)]


def _matrix(key: Sequence[Any], part: pd.DataFrame) -> Matrix:
    part = part.assign(share=(part["n_stands"] / part["n"]).astype(float))
    robust = part.pivot_table("share", "source", "target", aggfunc="mean")
    alone = part[part["source"] == part["target"]].groupby("target")["share"].mean().to_dict()
    order = sorted(robust.columns, key=lambda name: (alone.get(name, math.inf), name))
    others = [OTHERS] if OTHERS in robust.index else []
    natural = (part["n_right"] / part["n"]).astype(float).groupby(part["target"]).mean()
    deviates = {
        name: how
        for side in ("source", "target")
        for name, how in zip(part[side], part[f"{side}_deviates"], strict=True)
        if how
    }
    return Matrix(
        dict(zip(SHARED, key, strict=True)),
        {str(name): int(rows["seed"].nunique()) for name, rows in part.groupby("target")},
        robust.reindex(index=[*order, *others], columns=order),
        natural.reindex(order),
        dict(sorted(deviates.items())),
        tuple(_signs(part)),
    )


def _signs(part: pd.DataFrame) -> list[Sign]:
    """McNemar's exact test of every pair, one-sided, at a chance shared among a target's sources.

    The images that both break, or neither, say nothing; of the others as many would fall to the
    one as to the other by chance, and no more to the source if it is only the weaker attack.
    """
    columns = ["source", "n_only_source", "n_only_own"]
    apart = part[part["source"] != part["target"]].dropna(subset=columns)
    found = []
    for (target, seed), rows in apart.groupby(["target", "seed"]):
        for source, *counts in rows[columns].to_numpy().tolist():
            more, less = map(int, counts)  # beside an empty one they were read as decimals
            if more > less and _chance(more, more + less) < CHANCE / len(rows):
                found.append(Sign(str(target), str(source), int(str(seed)), more, less))
    return found


def _chance(more: int, of: int) -> float:
    return float(binomtest(more, of, 0.5, alternative="greater").pvalue)
