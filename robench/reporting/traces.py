"""What methods log while they train, epoch by epoch: a dual variable, radii, shares of cases."""

from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robench.analysis.summary import Line, Summary
from robench.analysis.table import COLUMNS
from robench.names import in_a_file_name
from robench.reporting.figures import STYLE, Look, save

_STROKES = ("-", "--", ":", "-.")


def logged(epochs: pd.DataFrame, line: Line) -> pd.DataFrame:
    """What a method logged: mean, smallest and largest over its seeds, by name and epoch."""
    mine = epochs[epochs["cell"].isin(line.cells)]
    names = [name for name in mine if name not in COLUMNS["epochs"] and mine[name].notna().any()]
    if not names:
        return pd.DataFrame()
    long = mine.set_index("epoch")[names].stack().dropna().rename_axis(["epoch", "name"])
    return long.groupby(["name", "epoch"]).agg(["mean", "min", "max"]).reset_index()


def together(summary: Summary, epochs: pd.DataFrame) -> list[list[str]]:
    """Labels of the methods that share each figure."""
    return [[*part["method"].unique()] for _, part in _quantities(summary, epochs)]


def draw(summary: Summary, epochs: pd.DataFrame, look: Look, folder: Path, name: str) -> list[Path]:
    """A figure for each quantity; its parts, ``name/part``, are strokes of one panel."""
    return [
        _draw(summary, quantity, part, look, folder, name)
        for quantity, part in _quantities(summary, epochs)
    ]


def _quantities(summary: Summary, epochs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    traces = {line.label: logged(epochs, line) for line in summary.lines}
    rows = pd.concat(
        [found.assign(method=label) for label, found in traces.items() if len(found)]
        or [pd.DataFrame()]
    )
    if rows.empty:
        return []
    parts = rows.groupby(rows["name"].str.partition("/")[0])
    return [(str(quantity), part) for quantity, part in parts]


def _draw(
    summary: Summary, quantity: str, rows: pd.DataFrame, look: Look, folder: Path, name: str
) -> Path:
    with style.context(STYLE):
        figure = Figure(figsize=(5.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        shared = summary.shared
        seeds = max(len(line.cells) for line in summary.lines)
        several = ", mean and range over seeds" if seeds > 1 else ""
        title = f"{shared['dataset']}, {shared['model']}: {quantity} over training{several}"
        figure.suptitle(title, fontsize=8)
        strokes = dict(zip(rows["name"].unique(), _STROKES * len(rows), strict=False))
        for (label, trace), part in rows.groupby(["method", "name"], sort=False):
            _stroke(axes, str(label), str(trace), part, look[str(label)][0], strokes[trace])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        return save(figure, axes, rows, folder / f"trace-{in_a_file_name(quantity)}-{name}")


def _stroke(
    axes: Axes, label: str, trace: str, part: pd.DataFrame, colour: str, stroke: str
) -> None:
    said = trace.partition("/")[2]
    axes.plot(part["epoch"], part["mean"], stroke, color=colour,
              label=f"{label} {said}" if said else label)  # fmt: skip
    axes.fill_between(part["epoch"], part["min"], part["max"], color=colour, alpha=0.15, lw=0)
