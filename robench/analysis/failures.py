"""What gave no number: failed cells and evaluations, and which table they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MISSING = "missing"


@dataclass(frozen=True)
class Failure:
    """Cells or evaluations of one method that gave no number for one reason."""

    label: str
    seeds: tuple[int, ...]
    status: str
    reason: str
    where: tuple[str, ...] = ()
    """Checkpoints and radii, for evaluations: ``best 3/16``."""


def belonging(
    rows: pd.DataFrame,
    shared: Mapping[str, object],
    training: Sequence[str],
    evaluation: Sequence[str],
) -> pd.DataFrame:
    """Failed rows of a table: cells that share its training, evaluations that share all of it."""
    cells = alike(rows[rows["status"] != "ok"], shared, training)
    evaluations = alike(cells[cells["suite"].notna()], shared, evaluation)
    return cells[cells["suite"].isna() | cells.index.isin(evaluations.index)]


def failures(rows: pd.DataFrame) -> list[Failure]:
    """One for each method and reason, whatever number of seeds, checkpoints and radii it has."""
    found = []
    for (label, status, reason), part in rows.groupby(["label", "status", "reason"], sort=False):
        attacked = part[part["suite"].notna()]
        where = dict.fromkeys(
            f"{row['checkpoint']} {row['eps']}" for row in attacked.to_dict("records")
        )
        seeds = tuple(sorted({int(seed) for seed in part["seed"]}))
        found.append(Failure(str(label), seeds, str(status), str(reason), tuple(where)))
    return found


def absent(label: str, rows: pd.DataFrame, here: pd.DataFrame, failed: pd.DataFrame) -> set[int]:
    """Seeds that have numbers in a table, but none where it looks, and no failure that says why."""
    said = failed.loc[failed["label"] == label, "seed"]
    return {int(seed) for seed in set(rows["seed"]) - set(here["seed"]) - set(said)}


def alike(rows: pd.DataFrame, shared: Mapping[str, object], names: Sequence[str]) -> pd.DataFrame:
    """Rows that hold what a table's lines share in the named columns."""
    here = np.ones(len(rows), bool)
    for name in names:
        value, column = shared[name], rows[name]
        here &= (column.isna() if value is None else column == value).to_numpy(bool, na_value=False)
    return rows[here]
