"""The attacks of a suite: what they broke and what they cost."""

from collections.abc import Sequence

import pandas as pd

from robench.analysis.attacks import AttackLine
from robench.analysis.summary import Summary
from robench.reporting import words
from robench.reporting.table import Table


def table(summary: Summary, found: Sequence[AttackLine]) -> Table:
    """What it shows, a row an attack."""
    return Table(
        title=f"Attacks: {words.title(summary)}",
        header=("attack", "networks", "met", "broke", "share", "forwards", "backwards", "seconds"),
        rows=tuple(_row(line) for line in found),
        caption=(
            f"At {summary.shared['norm']} {summary.headline}, over all networks of the table: "
            "images that stood before an attack, and those that it broke, in per cent of them; "
            "passes in images. Each meets only what those before it have left, so no two are "
            "compared on the same images.",
        ),
    )


def tidy(found: Sequence[AttackLine]) -> pd.DataFrame:
    """A row an attack."""
    return pd.DataFrame(
        {
            "attack": line.name,
            "networks": line.networks,
            "met": line.met,
            "broke": line.broke,
            "forwards": line.forwards,
            "backwards": line.backwards,
            "seconds": line.seconds,
        }
        for line in found
    )


def _row(line: AttackLine) -> tuple[str, ...]:
    share = f"{100 * line.broke / line.met:.1f}" if line.met else "-"
    counts = (f"{number:,}" for number in (line.networks, line.met, line.broke))
    passes = (f"{number:,}" for number in (line.forwards, line.backwards))
    return line.name, *counts, share, *passes, f"{line.seconds:,.0f}"
