"""The order of a table's methods, with those that cannot be told apart in one group."""

import math
from pathlib import Path

import pandas as pd
from matplotlib import style

from robench.analysis.ranking import Rank
from robench.analysis.summary import Line, Summary
from robench.reporting import words
from robench.reporting.claims import points
from robench.reporting.figures import STYLE, Look, bars, canvas, logarithmic, point, save

CAPTION = (
    "Methods of one group are inside the noise of its first: the 95 % interval of the difference, "
    "paired image by image and seed by seed, holds zero. Each difference is judged by itself, not "
    "corrected for their number. Passes are millions of images through networks while training, "
    "where a backward pass counts as two."
)


def markdown(summary: Summary, ranks: list[Rank]) -> str:
    """The page's section; empty without a ranking."""
    if not ranks:
        return ""
    head = ["group", "method", f"worst {summary.headline}", "behind its first", "passes"]
    rows = [head, ["---:", "---", "---:", "---:", "---:"]]
    lines = {line.label: line for line in summary.lines}
    rows += [_row(summary, rank, lines[rank.label]) for rank in ranks]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"#### Ranking\n\n{table}\n\n{CAPTION}"


def tidy(summary: Summary, ranks: list[Rank]) -> pd.DataFrame:
    """A row a method; differences are shares, not points."""
    lines = {line.label: line for line in summary.lines}
    return pd.DataFrame(
        {
            "group": rank.group,
            "method": rank.label,
            "worst": lines[rank.label].worst[summary.headline].mean,
            "behind": rank.behind.mean if rank.behind else None,
            "low": rank.behind.low if rank.behind else None,
            "high": rank.behind.high if rank.behind else None,
            "passes": lines[rank.label].cost,
        }
        for rank in ranks
    )


def draw(summary: Summary, ranks: list[Rank], look: Look, folder: Path, name: str) -> list[Path]:
    """The order itself, and what it costs."""
    return [_ladder(summary, ranks, look, folder, name), _cost(summary, look, folder, name)]


def _ladder(summary: Summary, ranks: list[Rank], look: Look, folder: Path, name: str) -> Path:
    """A step a method: its natural and its robust accuracy; every other group on a grey ground."""
    with style.context(STYLE):
        figure, axes = canvas(summary)
        figure.set_figheight(1.1 + 0.17 * len(ranks))
        lines, rows = {line.label: line for line in summary.lines}, []
        for step, rank in enumerate(ranks):
            line, first = lines[rank.label], step == 0
            worst, (colour, marker) = line.worst[summary.headline], look[rank.label]
            axes.errorbar(
                100 * worst.mean, step, xerr=bars(worst), fmt=marker, color=colour, capsize=2,
                elinewidth=0.8, label="robust" if first else None,
            )  # fmt: skip
            natural = 100 * line.natural.mean
            axes.plot(natural, step, "|", color="0.4", label="natural" if first else None)
            if rank.group % 2 == 0:
                axes.axhspan(step - 0.5, step + 0.5, color="0.93", lw=0, zorder=0)
            rows.append({"group": rank.group, "method": rank.label, "natural": line.natural.mean,
                         "worst": worst.mean, "low": worst.low, "high": worst.high})  # fmt: skip
        names = [words.named(summary, lines[rank.label]) for rank in ranks]
        axes.set_yticks(range(len(ranks)), names, fontsize=7)
        axes.set_ylim(len(ranks) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"accuracy (%), robust at {summary.shared['norm']} {summary.headline}")
        return save(figure, axes, pd.DataFrame(rows), folder / f"ranking-{name}")


def _cost(summary: Summary, look: Look, folder: Path, name: str) -> Path:
    """Robust accuracy against what training costs, a point a method."""
    with style.context(STYLE):
        figure, axes = canvas(summary)
        rows = []
        for line in summary.lines:
            worst = line.worst.get(summary.headline)
            if worst is None or not line.cost > 0:
                continue
            point(axes, look[line.label], line.label, line.cost, worst)
            rows.append({"method": line.label, "passes": line.cost, "worst": worst.mean})
        logarithmic(axes, (1, 2, 5))
        axes.set_xlabel("passes in training (images; a backward pass counts as two)")
        axes.set_ylabel(f"robust accuracy (%), {summary.shared['norm']} {summary.headline}")
        return save(figure, axes, pd.DataFrame(rows), folder / f"cost-{name}")


def _row(summary: Summary, rank: Rank, line: Line) -> list[str]:
    n = int(str(summary.shared["n"]))
    worst = words.estimate(line.worst[summary.headline], n)
    behind = points(rank.behind) if rank.behind else ""
    passes = "-" if math.isnan(line.cost) else f"{line.cost / 1e6:.3g}"
    label = words.escaped(words.named(summary, line))
    return [str(rank.group), label, worst, behind, passes]
