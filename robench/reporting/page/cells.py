"""What the page says of every single training: configuration, environment, curve, outcomes."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robench import settings
from robench.analysis.rows import WORST, TrainedCell
from robench.reporting.charts.chart import Axis, Chart, Series, values
from robench.reporting.figures.heading import percents
from robench.settings import Plain
from robench.store.grid import flat

_WHERE = ("device", "torch", "python", "robench", "commit", "platform", "threads", "started")

_VALIDATED = {"validation_natural": "natural", "validation_robust": "robust"}
"""Columns of the curve, and what its lines are called."""

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
    environment: dict[str, str]
    curve: Chart | None
    outcomes: Rows
    """Rows of results.csv, those of one evaluation after the other."""
    traceback: str


def cell_pages(
    cells: list[TrainedCell], results: pd.DataFrame, epochs: pd.DataFrame
) -> Iterator[CellPage]:
    """One for every cell that can be trusted."""
    worst = results[(results["attack"] == WORST) & (results["status"] == "ok")]
    rows, lines = _by_cell(worst), _by_cell(epochs[["cell", "epoch", *_VALIDATED]])
    for cell in cells:
        name = cell.folder.path.name
        yield _page(cell, rows[name], lines[name])


def _by_cell(frame: pd.DataFrame) -> defaultdict[str, Rows]:
    found = defaultdict[str, Rows](list)
    for row in frame.to_dict("records"):
        found[row["cell"]].append(row)
    return found


def _page(cell: TrainedCell, worst: Rows, epochs: Rows) -> CellPage:
    record = cell.record
    identity = record["identity"]
    return CellPage(
        name=cell.folder.path.name,
        label=record["label"],
        place=f"{identity['dataset']}, {identity['model']}, {identity['norm']} {identity['eps']}",
        seed=identity["seed"],
        status=record["status"],
        reason=record["reason"],
        facts=dict(_facts(record)),
        settings=_flat({"": identity["settings"], "recipe": identity["recipe"]}),
        environment=_flat({"": {k: record["environment"].get(k) for k in _WHERE}}),
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


def _flat(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    pairs = (
        pair for name, table in tables.items() for pair in flat(table, f"{name}." * bool(name))
    )
    return {
        name: settings.text(tuple(value) if isinstance(value, list) else value)
        for name, value in pairs
        if value is not None
    }


def _curve(record: Plain, epochs: Rows) -> Chart | None:
    """Natural and robust accuracy on validation images."""
    series = []
    for column, name in _VALIDATED.items():
        known = [(row["epoch"], row[column]) for row in epochs if not pd.isna(row[column])]
        if known:
            x, y = zip(*known, strict=True)
            x, y = values(x), percents(y)
            series.append(Series(label=name, x=x, y=y, stroke="--" if name == "natural" else "-"))
    if not series:
        return None
    return Chart(
        kind="",
        title=f"{record['label']} seed {record['identity']['seed']}, validation images",
        x=Axis(label="epoch"),
        y=Axis(label="accuracy (%)", low=0, high=100),
        series=tuple(series),
    )
