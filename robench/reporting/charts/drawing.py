"""A figure in matplotlib, for papers: as wide as a column or a page, everything in its place."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from robench.reporting.charts import font
from robench.reporting.charts.chart import Axis, Chart, Figure, Heat, Panels, Pictures, Rule, Series
from robench.reporting.charts.look import Look

STYLE = Path(__file__).with_name("paper.mplstyle")

COLUMN, PAGE = 3.5, 7.0
"""Widths of a column and of a page of two, in inches."""

_GREY = ("0.35", "o")


@contextmanager
def styled(figure: Figure) -> Iterator[None]:
    """While it holds, matplotlib draws as the figure is to look."""
    with style.context(STYLE), matplotlib.rc_context({"font.family": font.of(repr(figure))}):
        yield


def laid_out(figure: Figure, look: Look) -> Drawing:
    """A figure, ``styled``, with everything in its place: savefig would draw it twice to do so."""
    drawing = _drawing(figure, look)
    ConstrainedLayoutEngine().execute(drawing)
    return drawing


def _drawing(figure: Figure, look: Look) -> Drawing:
    match figure:
        case Heat():
            return _matrix(figure)
        case Pictures():
            return _gallery(figure)
        case Panels():
            return _panels(figure, look)
        case Chart():
            return _chart(figure, look)


def _canvas(figure: Figure, width: float, height: float) -> Drawing:
    """Empty, under a title that says what is measured."""
    drawing = Drawing(figsize=(width, height))
    lines = [
        part for line in figure.title.splitlines() for part in textwrap.wrap(line, int(21 * width))
    ]
    drawing.suptitle("\n".join(lines), fontsize=5.5)
    drawing.set_figheight(height + 0.1 * len(lines))
    return drawing


def _chart(chart: Chart, look: Look) -> Drawing:
    drawing = _canvas(chart, PAGE if chart.wide else COLUMN, chart.height)
    axes = drawing.add_subplot()
    _fill(axes, chart, look)
    _legend(drawing, axes)
    return drawing


def _panels(panels: Panels, look: Look) -> Drawing:
    across = min(4, len(panels.charts))
    down = -(-len(panels.charts) // across)
    drawing = _canvas(panels, COLUMN if across < 3 else PAGE, 0.3 + 1.25 * down)
    grid = drawing.subplots(down, across, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels.charts):
            axes.set_axis_off()
            continue
        chart = panels.charts[place]
        _fill(axes, chart, look)
        axes.set_title(chart.title, fontsize=6)
        axes.set_xlabel(chart.x.label if place + across >= len(panels.charts) else "")
        axes.set_ylabel(chart.y.label if place % across == 0 else "")
    return drawing


def _fill(axes: Axes, chart: Chart, look: Look) -> None:
    for low, high in chart.shaded:
        axes.axhspan(low, high, color="0.93", lw=0, zorder=0)
    for series in chart.series:
        _draw(axes, series, *look.get(series.of, _GREY))
    _scale(axes, "x", chart.x)
    _scale(axes, "y", chart.y)
    for rule in chart.rules:
        _rule(axes, rule, look)


def _draw(axes: Axes, series: Series, colour: str, marker: str) -> None:
    alpha, size = (0.45, 2.5) if series.faint else (1.0, 4.0)
    axes.plot(
        series.x, series.y, color=colour, alpha=alpha, label=series.label or "_", ms=size,
        marker=marker if series.marked else "", ls=series.stroke or "none",
        lw=0.7 if series.faint else 1.2, clip_on=not series.marked,
    )  # fmt: skip
    if series.said:
        axes.annotate(series.said, (series.x[0], series.y[0] + series.raised), xytext=(3, 3),
                      color=colour, textcoords="offset points", fontsize=6)  # fmt: skip
    if series.band:
        axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.15, lw=0)
        return
    if series.low:
        axes.vlines(series.x, series.low, series.high, colour, lw=0.7, alpha=0.8 * alpha)
    if series.left:
        axes.hlines(series.y, series.left, series.right, colour, lw=0.7, alpha=0.8 * alpha)


def _rule(axes: Axes, rule: Rule, look: Look) -> None:
    colour = look[rule.of][0] if rule.of else "0.4"
    label = rule.label if rule.of else "_"
    if rule.along == "diagonal":
        low = max(axes.get_xlim()[0], axes.get_ylim()[0])
        axes.axline((low, low), slope=1, color=colour, ls=":", lw=1)
    elif rule.along == "y":
        axes.axhline(rule.at, color=colour, ls=":", lw=1, label=label)
    else:
        axes.axvline(rule.at, color=colour, ls=":", lw=1, label=label)
        axes.annotate(rule.label, (rule.at, 1), xycoords=("data", "axes fraction"), va="top",
                      xytext=(-2, -2), textcoords="offset points", rotation=90, ha="right",
                      color=colour, fontsize=6)  # fmt: skip


def _scale(axes: Axes, which: str, axis: Axis) -> None:
    scale = axes.xaxis if which == "x" else axes.yaxis
    if axis.scale == "counts":
        counts(axes, which)
    elif axis.scale == "log":
        axes.set(**{f"{which}scale": "log"})
    if axis.ticks:
        places, names = zip(*axis.ticks, strict=True)
        scale.set_ticks(places, names)
        scale.set_minor_locator(NullLocator())
        scale.grid(visible=which == "x")
    elif axis.scale == "linear":
        scale.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))
    axes.set(**{f"{which}label": axis.label})
    if axis.low is not None or axis.high is not None:
        axes.set(**{f"{which}lim": (axis.low, axis.high)})


def counts(axes: Axes, which: str) -> None:
    """Powers of ten, with ticks that say 500k and 1M."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    subs = (1, 1.5, 2, 3, 4, 6) if high < 10 * low else (1, 2, 5) if high < 100 * low else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_locator(NullLocator())


def _legend(drawing: Drawing, axes: Axes) -> None:
    """Below, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    longest, width = max(map(len, labels)), drawing.get_figwidth()
    columns = max(1, min(len(labels), int(20 * width) // (longest + 6)))
    drawing.set_figheight(drawing.get_figheight() + 0.08 + 0.105 * -(-len(labels) // columns))
    drawing.legend(handles, labels, loc="outside lower center", ncols=columns)


def _matrix(heat: Heat) -> Drawing:
    longest = max(map(len, (*heat.columns, *heat.names)))
    wide = 0.055 * max(map(len, heat.names)) + 0.33 * len(heat.columns) + 0.6
    tall = 0.04 * longest + 0.2 * len(heat.names) + 0.6
    drawing = _canvas(heat, max(COLUMN, wide), tall)
    axes = drawing.add_subplot()
    axes.imshow(heat.values, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    if heat.parted:
        axes.axhline(heat.parted - 0.5, color="white", lw=3)
    for (row, column), value in np.ndenumerate(heat.values):
        if not np.isnan(value):
            colour = "white" if value < 55 else "black"
            number = axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
            number.set_in_layout(False)  # it has its place, and takes none from others
    for row, column in heat.framed:
        axes.add_patch(_frame(column, row))
    axes.set_xticks(range(len(heat.columns)), heat.columns)
    if max(map(len, heat.columns)) > 4:
        for word in axes.get_xticklabels():
            word.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(heat.names)), heat.names)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=heat.across, ylabel=heat.down)
    return drawing


def _frame(column: int, row: int) -> Rectangle:
    """Above the white line that crosses it."""
    place, side = (column - 0.47, row - 0.47), 0.94
    return Rectangle(place, side, side, fill=False, ec="#D55E00", lw=1.5, zorder=3)


def _gallery(pictures: Pictures) -> Drawing:
    down, across = pictures.pixels.shape[:2]
    lines = max(title.count("\n") + 1 for title in pictures.columns)
    width = min(PAGE, max(COLUMN, 0.3 + 0.68 * across))
    drawing = _canvas(pictures, width, 0.12 * lines + 0.68 * down)
    panels = drawing.subplots(down, across, squeeze=False)
    for (row, column), axes in np.ndenumerate(panels):
        axes.imshow(pictures.shown(row, column), interpolation="nearest")
        axes.grid(visible=False)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color="0.7")
        if row == 0:
            axes.set_title(pictures.columns[column], fontsize=6)
        if column == 0:
            axes.set_ylabel(pictures.names[row])
    return drawing
