"""Figures, each with the numbers behind it: PDF for papers, PNG for screens, CSV for both."""

import io
import textwrap
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from robench.analysis.summary import Estimate, Line, Summary
from robench.reporting import words
from robench.store.files import write, write_text

# Okabe and Ito's colours: told apart by colour-blind readers. Markers tell them apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = Path(__file__).with_name("paper.mplstyle")

Look = dict[str, tuple[str, str]]
"""Colour and marker of each label, the same in all figures of a report."""


def looks(tables: Iterable[Iterable[str]]) -> Look:
    """Give every label that occurs a colour and a marker.

    There are more labels than colours: those of a small table are the last to share one.
    """
    groups = [set(table) for table in tables]
    colours, look = dict[str, int](), dict[str, tuple[str, str]]()
    for label in sorted(set().union(*groups)):
        taken, near = Counter(colours.values()), [0.0] * len(_COLOURS)
        for group in groups:
            for other in group & colours.keys() if label in group else ():
                near[colours[other]] += 1 / len(group)
        chosen = min(range(len(_COLOURS)), key=lambda i: (near[i], taken[i]))
        colours[label] = chosen
        look[label] = _COLOURS[chosen], _MARKERS[(chosen + taken[chosen]) % len(_MARKERS)]
    return look


def tradeoff(summary: Summary, look: Look, folder: Path, name: str) -> Path:
    """Natural against robust accuracy, a point a method with its intervals."""
    with style.context(STYLE):
        figure, axes = canvas(summary)
        rows = []
        for line in summary.lines:
            natural, worst = line.natural, line.worst.get(summary.headline)
            if worst is None:
                continue
            across = bars(natural)
            point(axes, look[line.label], line.label, 100 * natural.mean, worst, across)
            rows.append(_row(line, summary.headline))
        axes.set_xlabel("natural accuracy (%)")
        axes.set_ylabel(f"robust accuracy (%), {_threat(summary, summary.headline)}")
        return save(figure, axes, pd.DataFrame(rows), folder / f"tradeoff-{name}")


def curve(summary: Summary, look: Look, folder: Path, name: str) -> Path:
    """Robust accuracy against the radius, from natural accuracy at 0."""
    with style.context(STYLE):
        figure, axes = canvas(summary)
        rows = []
        for line in summary.lines:
            colour, marker = look[line.label]
            points = {"0": line.natural, **line.worst}
            radii = sorted(points, key=Fraction)
            at = [float(Fraction(eps)) for eps in radii]
            dense = len(radii) > 2  # else nothing is known between the two ends
            axes.plot(at, [100 * points[e].mean for e in radii], marker, ls="-" if dense else ":",
                      ms=4, color=colour, label=line.label, clip_on=False)  # fmt: skip
            if dense:
                axes.fill_between(at, [100 * points[e].low for e in radii],
                                  [100 * points[e].high for e in radii],
                                  color=colour, alpha=0.15, lw=0)  # fmt: skip
            rows += [_row(line, eps) for eps in radii]
        if summary.shared["train_norm"] == summary.shared["norm"]:
            _mark(axes, float(Fraction(str(summary.shared["train_eps"]))))
        radii = _apart(["0", *(eps for eps in summary.radii if eps != "0")])
        axes.set_xticks([float(Fraction(eps)) for eps in radii], radii)
        axes.set_xlabel(f"eps ({summary.shared['norm']})")
        axes.set_ylabel("robust accuracy (%)")
        axes.set_ylim(bottom=0)
        return save(figure, axes, pd.DataFrame(rows), folder / f"curve-{name}")


def point(
    axes: Axes,
    look: tuple[str, str],
    label: str,
    x: float,
    y: Estimate,
    across: list[list[float]] | None = None,
) -> None:
    """A method's robust accuracy, in per cent, with its interval."""
    colour, marker = look
    axes.errorbar(
        x, 100 * y.mean, xerr=across, yerr=bars(y),
        fmt=marker, color=colour, label=label, capsize=2, elinewidth=0.8,
    )  # fmt: skip


def _mark(axes: Axes, eps: float) -> None:
    """A line at the radius of training."""
    axes.axvline(eps, color="0.4", ls=":", lw=1)
    axes.annotate("trained here", (eps, 1), xycoords=("data", "axes fraction"), xytext=(-3, -3),
                  textcoords="offset points", rotation=90, ha="right", va="top", color="0.4",
                  fontsize=8)  # fmt: skip


def _apart(radii: list[str]) -> list[str]:
    """Those whose labels have room between each other."""
    kept: list[str] = []
    for eps in radii:
        if not kept or Fraction(eps) - Fraction(kept[-1]) >= Fraction(radii[-1]) / 14:
            kept.append(eps)
    return kept


def canvas(summary: Summary) -> tuple[Figure, Axes]:
    """Empty axes under a title that says what is measured."""
    figure = Figure(figsize=(5.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    suite, shared = words.VERDICTS[str(summary.shared["verdict"])], summary.shared
    what = f"{shared['dataset']}, {shared['model']}, {summary.checkpoint} checkpoint"
    title = f"{what}, n={shared['n']}, {words.bars(summary)}"
    lines = [*textwrap.wrap(title, 84), f"suite {shared['suite']}: {suite}"]
    figure.suptitle("\n".join(lines), fontsize=8)
    return figure, axes


def _threat(summary: Summary, eps: str) -> str:
    return f"{summary.shared['norm']} {eps}"


def bars(of: Estimate) -> list[list[float]]:
    """How far its interval reaches to both sides, in points."""
    return [[100 * max(of.mean - of.low, 0)], [100 * max(of.high - of.mean, 0)]]


def _row(line: Line, eps: str) -> dict[str, object]:
    found = line.worst.get(eps, line.natural)
    return {
        "method": line.label,
        "seeds": len(line.seeds),
        "natural": line.natural.mean,
        "eps": eps,
        "worst": found.mean,
        "low": found.low,
        "high": found.high,
    }


def _legend(figure: Figure, axes: Axes) -> None:
    """At the right; below, in as many columns as fit, when the labels are long or many."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=0)
    if longest <= 14 and len(labels) <= 12:
        figure.legend(handles, labels, loc="outside right center")
        return
    columns = max(1, 80 // (longest + 6))
    figure.set_figheight(figure.get_figheight() + 0.18 * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def logarithmic(axes: Axes, subs: tuple[float, ...]) -> None:
    """Counts along x by powers of ten, with ticks at these multiples: 500k, 1M."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_locator(NullLocator())


def save(figure: Figure, axes: Axes, rows: pd.DataFrame, stem: Path) -> Path:
    """Three files of one name, each whole; returns the PNG's path."""
    _legend(figure, axes)
    pdf, png = io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    figure.savefig(png, format="png", dpi=200)
    write_text(stem.with_suffix(".csv"), rows.to_csv(index=False))
    write(stem.with_suffix(".pdf"), pdf.getvalue())
    write(stem.with_suffix(".png"), png.getvalue())
    return stem.with_suffix(".png")
