"""What each attack of a suite broke, and what it cost."""

from dataclasses import dataclass

import pandas as pd

from robench.analysis.failures import alike
from robench.analysis.summary import EVALUATION, TRAINING, Summary, labelled
from robench.names import WORST


@dataclass(frozen=True)
class AttackLine:
    """One attack, over all networks of a table at its headline radius."""

    name: str
    networks: int
    """How many it was run on."""
    met: int
    """Images that stood before it, over all networks; of an audit it has seen a part of them."""
    broke: int
    """Of those: how many do not stand after it."""
    forwards: int
    """Images through networks."""
    backwards: int
    seconds: float


def attacks(summary: Summary, frame: pd.DataFrame) -> list[AttackLine]:
    """In the order of the suite; empty where nothing was attacked."""
    cells = {cell for line in summary.lines for cell in line.cells}
    rows = alike(labelled(frame), summary.shared, (*TRAINING, *EVALUATION))
    here = (rows["checkpoint"] == summary.checkpoint) & (rows["eps"] == summary.headline)
    rows = rows[here & (rows["status"] == "ok") & rows["cell"].isin(cells)]
    rows = rows[rows["attack"] != WORST]
    # Each attack has a row below the one before it.
    before = rows.groupby("key")["n_stands"].shift().fillna(rows["n_right"])
    rows = rows.assign(met=before)
    parts = {str(name): part for name, part in rows.groupby("attack", sort=False)}
    return [_line(name, parts[name]) for name in summary.attacks if name in parts]


def _line(name: str, rows: pd.DataFrame) -> AttackLine:
    met, stand = int(rows["met"].sum()), int(rows["n_stands"].sum())
    forwards, backwards = (int(rows[column].sum()) for column in ("forwards", "backwards"))
    seconds = float(rows["seconds"].sum())
    return AttackLine(name, len(rows), met, met - stand, forwards, backwards, seconds)
