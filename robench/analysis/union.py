"""The union over threat models: which images stand in every norm, at the data set's own radii."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robench.analysis.rows import Row, TrainedCell, suite_key
from robench.analysis.summary import VERDICTS, Estimate, labelled
from robench.data.catalogue import DATASETS
from robench.evaluation.outcomes import Mask, Outcomes
from robench.intervals import wilson
from robench.radius import BALLS, Norm, parse_eps
from robench.settings import Plain
from robench.store.files import digest

_OF_CELL = (
    "method", "settings", "deviates", "plugin", "settings_key", "recipe", "recipe_key", "dataset",
    "data", "model", "seed", "train_norm", "train_eps", "train_limit",
)  # fmt: skip

COLUMNS = (
    *_OF_CELL, "checkpoint", "epoch", "radii", "suite", "suite_key", "verdict", "test_limit",
    "images", "n", "natural_accuracy", *(f"accuracy_{norm}" for norm in BALLS), "union_accuracy",
    "cell",
)  # fmt: skip
"""Columns of union.csv; a row a cell and checkpoint. ``images`` is a digest of those attacked."""

SHARED = (
    "dataset", "data", "model", "recipe", "recipe_key", "train_limit", "radii", "suite",
    "suite_key", "verdict", "test_limit", "images", "n",
)  # fmt: skip
"""What the lines of one table have in common: not what they were trained against."""

Attacked = tuple[Plain, Outcomes]


@dataclass(frozen=True)
class UnionLine:
    """One method with its settings in one training ball, over all its seeds."""

    label: str
    trained: str
    """The grid's ball."""
    deviates: str
    seeds: tuple[int, ...]
    natural: Estimate
    norms: tuple[Estimate, ...]
    """What stands in each norm, in the order of the radii."""
    union: Estimate
    """What stands in all of them."""


@dataclass(frozen=True)
class UnionTable:
    """What its lines share, and the lines, those of the largest union first."""

    shared: dict[str, object]
    checkpoint: str
    """``best`` where it was attacked, else ``last``."""
    lines: tuple[UnionLine, ...]

    @property
    def radii(self) -> list[str]:
        """Each norm with its radius."""
        return str(self.shared["radii"]).split(", ")

    @property
    def seeds(self) -> int:
        """Most seeds that any line has."""
        return max(len(line.seeds) for line in self.lines)


def rows(cell: TrainedCell, evaluations: Sequence[Attacked]) -> Iterator[Row]:
    """A row for each checkpoint that was attacked in two norms or more, on the same images."""
    usual = [(e, of) for e, of in evaluations if _is_usual(e, str(cell.columns["dataset"]))]
    if len({evaluation["identity"]["norm"] for evaluation, _ in usual}) < 2:
        return
    places: dict[tuple[Any, ...], list[Attacked]] = {}
    for evaluation, outcomes in usual:
        identity = evaluation["identity"]
        images = digest(outcomes.origin.tolist())[:8]
        place = identity["checkpoint"], identity["test_limit"], images
        places.setdefault(place, []).append((evaluation, outcomes))
    for (checkpoint, limit, images), attacked in places.items():
        by_norm = {n: [a for a in attacked if a[0]["identity"]["norm"] == n] for n in BALLS}
        there = {norm: found for norm, found in by_norm.items() if found}
        if len(there) > 1:
            own = {name: cell.columns[name] for name in (*_OF_CELL, "cell")}
            own |= {"checkpoint": checkpoint, "test_limit": limit, "images": images}
            yield own | _outcome(there)


def _is_usual(evaluation: Plain, dataset: str) -> bool:
    """Whether it is of a ball at the radius that the catalogue has for the data set."""
    identity, facts = evaluation["identity"], DATASETS.get(dataset)
    if facts is None or evaluation["status"] != "ok" or evaluation["verdict"] == "none":
        return False
    norm = identity["norm"]
    return norm in BALLS and parse_eps(identity["eps"], norm) == facts.eps[norm]


def _outcome(attacked: dict[Norm, list[Attacked]]) -> Row:
    """Image by image, over all suites of a norm and over all norms."""
    every = [one for found in attacked.values() for one in found]
    stands = {norm: _all([o.worst for _, o in found]) for norm, found in attacked.items()}
    natural = _all([outcomes.stands["natural"] for _, outcomes in every])
    return {
        "epoch": every[0][0]["epoch"],
        "radii": ", ".join(f"{n} {f[0][0]['identity']['eps']}" for n, f in attacked.items()),
        "suite": ", ".join(f"{n} by {_suites(found)}" for n, found in attacked.items()),
        "suite_key": digest(sorted(suite_key(e["identity"]) for e, _ in every))[:8],
        "verdict": max(map(_verdict, attacked.values()), key=VERDICTS.index),
        "n": len(natural),
        "natural_accuracy": natural.mean(),
        **{f"accuracy_{norm}": mask.mean() for norm, mask in stands.items()},
        "union_accuracy": _all([natural, *stands.values()]).mean(),
    }


def _all(masks: Sequence[Mask]) -> Mask:
    found: Mask = np.logical_and.reduce(masks)
    return found


def _suites(found: Sequence[Attacked]) -> str:
    return " and ".join(sorted({str(evaluation["identity"]["suite"]) for evaluation, _ in found}))


def _verdict(found: Sequence[Attacked]) -> str:
    """The best of several suites: more attacks take nothing from it.

    An audit that grew into a full verdict stays one, as other lines' may not have grown.
    """
    said = (
        "audited" if evaluation["audit"] else str(evaluation["verdict"]) for evaluation, _ in found
    )
    return min(said, key=VERDICTS.index)


def unions(frame: pd.DataFrame) -> list[UnionTable]:
    """Every table that a union.csv comes to; only seeds are averaged."""
    if frame.empty:
        return []
    groups = labelled(frame).groupby(list(SHARED), dropna=False, sort=True)
    return [_table(key, group) for key, group in groups]


def _table(key: Sequence[Any], group: pd.DataFrame) -> UnionTable:
    shared = {n: None if pd.isna(value) else value for n, value in zip(SHARED, key, strict=True)}
    checkpoint = "best" if (group["checkpoint"] == "best").any() else "last"
    here = group[group["checkpoint"] == checkpoint]
    parts = here.groupby(["label", "train_norm", "train_eps"], sort=True)
    norms = [radius.split()[0] for radius in str(shared["radii"]).split(", ")]
    lines = [
        UnionLine(
            label=str(label),
            trained=f"{norm} {eps}",
            deviates=str(part["deviates"].iloc[0]) if part["deviates"].notna().all() else "",
            seeds=tuple(sorted(part["seed"])),
            natural=_estimate(part, "natural_accuracy"),
            norms=tuple(_estimate(part, f"accuracy_{name}") for name in norms),
            union=_estimate(part, "union_accuracy"),
        )
        for (label, norm, eps), part in parts
    ]
    lines.sort(key=lambda line: -line.union.mean)
    return UnionTable(shared, checkpoint, tuple(lines))


def _estimate(part: pd.DataFrame, name: str) -> Estimate:
    shares = part[name]
    if len(part) == 1:
        share, n = float(shares.iloc[0]), int(part["n"].iloc[0])
        return Estimate(share, None, *wilson(round(share * n), n), 1)
    spread = float(shares.std(ddof=1))
    return Estimate(shares.mean(), spread, shares.min(), shares.max(), len(shares))
