"""What the page says of every single training: configuration, environment, curve, outcomes."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robench import settings
from robench.analysis.rows import TrainedCell
from robench.names import WORST
from robench.reporting.charts.chart import Axis, Chart, Series, Stroke, values
from robench.reporting.figures.heading import percents
from robench.settings import Plain
from robench.store.grid import flat

_WHERE = ("device", "torch", "python", "robench", "commit", "platform", "threads")

_OUTCOME = ("checkpoint", "suite", "norm", "eps", "n", "n_right", "n_stands", "seconds")

_VALIDATED: dict[str, Stroke] = {"validation_natural": "--", "validation_robust": "-"}
"""Columns of the curve, and how they are drawn."""

Rows = list[dict[Hashable, Any]]


@dataclass(frozen=True)
class CellPage:
    """One training, in words and one small figure."""

    name: str
    label: str
    place: str
    """Data set, network, ball of training."""
    seed: int
    status: str
    reason: str
    facts: dict[str, str]
    settings: dict[str, str]
    recipe: int
    """Which of the page's recipes."""
    environment: int
    """Which of its environments."""
    curve: Chart | None
    outcomes: Rows
    """Rows of results.csv, those of one evaluation after the other."""
    traceback: str


@dataclass(frozen=True)
class CellPages:
    """All of them, and what most have in common, said once."""

    pages: list[CellPage]
    recipes: list[dict[str, str]]
    environments: list[dict[str, str]]


def cell_pages(cells: list[TrainedCell], results: pd.DataFrame, epochs: pd.DataFrame) -> CellPages:
    """A page for every cell that can be trusted."""
    worst = results[(results["attack"] == WORST) & (results["status"] == "ok")]
    rows = _by_cell(worst[["cell", *_OUTCOME]])
    lines = _by_cell(epochs[["cell", "epoch", *_VALIDATED]])
    found = CellPages([], [], [])
    for cell in cells:
        name = cell.folder.path.name
        found.pages.append(_page(cell, rows[name], lines[name], found))
    return found


def _by_cell(frame: pd.DataFrame) -> defaultdict[str, Rows]:
    found = defaultdict[str, Rows](list)
    for row in frame.to_dict("records"):
        found[row["cell"]].append(row)
    return found


def _number(of: dict[str, str], among: list[dict[str, str]]) -> int:
    """Its place in a list, counted from 1, to which it is added if it is new."""
    if of not in among:
        among.append(of)
    return 1 + among.index(of)


def _page(cell: TrainedCell, worst: Rows, epochs: Rows, others: CellPages) -> CellPage:
    record = cell.record
    identity = record["identity"]
    environment = _flat({k: record["environment"].get(k) for k in _WHERE})
    return CellPage(
        name=cell.folder.path.name,
        label=record["label"],
        place=f"{identity['dataset']}, {identity['model']}, {identity['norm']} {identity['eps']}",
        seed=identity["seed"],
        status=record["status"],
        reason=record["reason"],
        facts=dict(_facts(record)),
        settings=_flat(identity["settings"]),
        recipe=_number(_flat(identity["recipe"]), others.recipes),
        environment=_number(environment, others.environments),
        curve=_curve(record, epochs),
        outcomes=worst,
        traceback=str(record.get("traceback", "")),
    )


def _facts(record: Plain) -> Iterator[tuple[str, str]]:
    """What came of training, in the order in which one would ask."""
    for name, kept in record.get("checkpoints", {}).items():
        yield f"{name} checkpoint", f"epoch {kept['epoch']}, SHA-256 {kept['sha256'][:12]}"
    yield "chosen by", f"{record['select_on']} accuracy on held-out validation images"
    if record["deviates"]:
        yield "departs from the recipe", record["deviates"]
    if record.get("control"):
        yield "negative control", f"broken by {record['control']}"
    for name, unit in (("seconds", " s"), ("forwards", " images forward"),
                       ("backwards", " images backward"), ("peak_mb", " MB at most")):  # fmt: skip
        if record.get(name) is not None:
            yield name.replace("_", " "), f"{record[name]:,.0f}{unit}"
    for trouble in record.get("troubles", []):
        yield f"flag {trouble['flag']}", f"epoch {trouble['epoch']}: {trouble['detail']}"


def _flat(table: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: settings.text(tuple(value) if isinstance(value, list) else value)
        for name, value in flat(table)
        if value is not None
    }


def _curve(record: Plain, epochs: Rows) -> Chart | None:
    """Natural and robust accuracy on validation images."""
    series = []
    for column, stroke in _VALIDATED.items():
        known = [(row["epoch"], row[column]) for row in epochs if not pd.isna(row[column])]
        if known:
            x, y = zip(*known, strict=True)
            series.append(Series(x=values(x), y=percents(y), stroke=stroke, marked=False))
    if not series:
        return None
    return Chart(
        kind="",
        title=f"{record['label']} seed {record['identity']['seed']}, validation images",
        x=Axis(label="epoch"),
        y=Axis(label="accuracy (%)", low=0, high=100),
        series=tuple(series),
    )
