"""From measures.csv and curves.csv to what a table and a figure show: one column a method."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robench.analysis.summary import EVALUATION, TRAINING, Estimate, labelled
from robench.names import TOGETHER

SHARED = (*TRAINING, *EVALUATION, "checkpoint", "eps")
"""What the numbers of one table have in common."""

Points = tuple[list[float], list[float], list[float], list[float]]
"""x, and mean, smallest and largest y over seeds."""


@dataclass(frozen=True)
class Drawn:
    """One curve of every method."""

    name: str
    x_label: str
    y_label: str
    lines: dict[str, Points]


@dataclass(frozen=True)
class Measured:
    """A table: what its columns share, and the numbers."""

    shared: dict[str, object]
    names: tuple[str, ...]
    """Rows, in the order of the measure; what is defined for no method is none."""
    columns: dict[str, dict[str, Estimate]]
    """By method with its settings, then by name; a number that is not defined is not there."""
    curves: tuple[Drawn, ...]
    failures: tuple[str, ...]
    """What failed and why."""
    note: str
    """What a reader of the numbers has to know; empty: that they are no robust accuracy."""
    evaluations: tuple[Mapping[Any, Any], ...] = ()
    """A row of each evaluation behind it, which says where its outcomes are."""


def measured(measures: pd.DataFrame, curves: pd.DataFrame) -> list[Measured]:
    """Every table that a folder's measures come to."""
    if measures.empty:
        return []
    rows = labelled(measures)
    return [
        _measured(key, group, curves)
        for key, group in rows.groupby(list(SHARED), dropna=False, sort=True)
    ]


def _measured(key: Iterable[Any], rows: pd.DataFrame, curves: pd.DataFrame) -> Measured:
    fine = rows[rows["status"] == "ok"]
    fine = fine.assign(name=_names(fine))
    columns = {str(label): _column(part) for label, part in fine.groupby("label")}
    return Measured(
        {n: None if pd.isna(value) else value for n, value in zip(SHARED, key, strict=True)},
        tuple(n for n in fine["name"].unique() if any(n in column for column in columns.values())),
        columns,
        tuple(_drawn(fine, curves)),
        tuple(_failure(row) for row in rows[rows["status"] != "ok"].to_dict("records")),
        str(rows["note"].fillna("").iloc[0]),
        tuple(fine.drop_duplicates("key").to_dict("records")),
    )


def _names(rows: pd.DataFrame) -> pd.Series:
    """With that of the measure where there are several; what all come to has none of its own."""
    names, measures = rows["name"].fillna(""), rows["measure"]
    if measures.nunique() < 2:
        return names.mask(names == "", measures)
    named = measures.mask(names != "", measures + ": " + names)
    return named.mask(measures == TOGETHER, names)


def _column(rows: pd.DataFrame) -> dict[str, Estimate]:
    known = rows.dropna(subset=["value"])
    return {str(name): _estimate(part) for name, part in known.groupby("name")}


def _estimate(rows: pd.DataFrame) -> Estimate:
    values = rows["value"]
    if len(rows) == 1:
        return Estimate(values.iloc[0], None, rows["low"].iloc[0], rows["high"].iloc[0], 1)
    spread = float(values.std(ddof=1))
    return Estimate(values.mean(), spread, values.min(), values.max(), len(values))


def _drawn(group: pd.DataFrame, curves: pd.DataFrame) -> list[Drawn]:
    keys = group.drop_duplicates("key")[["key", "label"]]
    points = curves.merge(keys, on="key")
    found = []
    several = points["measure"].nunique() > 1
    for (measure, curve), part in points.groupby(["measure", "curve"], sort=False):
        name = f"{measure}: {curve}" if several else curve
        over = part.groupby(["label", "x"])["y"].agg(["mean", "min", "max"]).reset_index()
        lines = {
            str(label): tuple(line[c].tolist() for c in ("x", "mean", "min", "max"))
            for label, line in over.groupby("label")
        }
        labels = part["x_label"].iloc[0], part["y_label"].iloc[0]
        found.append(Drawn(str(name), *labels, lines))  # type: ignore[arg-type]
    return found


def _failure(row: dict[Hashable, Any]) -> str:
    return f"{row['label']} seed {row['seed']} {row['status']}: {row['reason']}"
