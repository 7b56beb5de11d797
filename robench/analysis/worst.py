"""The rows behind a table's worst cases, and which of their images stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robench.analysis.differences import Outcome
from robench.analysis.failures import alike
from robench.analysis.images import outcomes, records
from robench.analysis.summary import EVALUATION, TRAINING, Summary, labelled
from robench.errors import StoreError
from robench.names import WORST

_OF_SIDE = [
    "label", "cell", "seed", "checkpoint", "suite", "norm", "eps", "key", "verdict", "flag_random",
]  # fmt: skip


@dataclass(frozen=True)
class Side:
    """What one method has to be compared with others."""

    label: str
    stands: dict[int, Outcome]
    """By seed: which images, (N,), stand against every attack."""
    random: bool
    """Whether its verdicts are draws: asked again, an image may fall that stood."""


def worst_cases(summary: Summary, frame: pd.DataFrame, checkpoint: str = "") -> pd.DataFrame:
    """The worst cases that a table's lines are means of; or those of another checkpoint."""
    cells = {cell for line in summary.lines for cell in line.cells}
    rows = labelled(frame)
    here = (rows["status"] == "ok") & (rows["attack"] == WORST) & (rows["eps"] == summary.headline)
    at = rows["checkpoint"] == (checkpoint or summary.checkpoint)
    rows = rows[here & at & rows["cell"].isin(cells)]
    return alike(rows, summary.shared, (*TRAINING, *EVALUATION))


def of_table(summary: Summary, frame: pd.DataFrame, results: Path) -> list[Side]:
    """A table's lines with a worst case at its headline radius, in its order.

    Raises:
        StoreError: outcomes are missing or damaged, or of different test images.
    """
    labels = [line.label for line in summary.lines if summary.headline in line.worst]
    return sides(labels, worst_cases(summary, frame), results)


def sides(labels: Sequence[str], rows: pd.DataFrame, results: Path) -> list[Side]:
    """The outcomes of methods on the same images, each file read once, in the order of the labels.

    Raises:
        StoreError: a file is missing or damaged, or two are of different test images.
    """
    by_label: dict[str, list[dict[Any, Any]]] = {label: [] for label in labels}
    for row in records(rows[rows["label"].isin(by_label)][_OF_SIDE]):
        by_label[row["label"]].append(row)
    found, first = [], None
    for label in labels:
        stands: dict[int, Outcome] = {}
        for row in by_label[label]:
            read = outcomes(row, results)
            first = first or (row["cell"], read.origin)
            if not np.array_equal(first[1], read.origin):
                raise StoreError(
                    f"the cells {first[0]} and {row['cell']} were attacked on different test "
                    "images: they cannot be compared image by image"
                )
            stands[int(row["seed"])] = read.worst
        found.append(Side(label, stands, any(map(_is_random, by_label[label]))))
    return found


def _is_random(row: Mapping[Any, Any]) -> bool:
    return bool(row["verdict"] == "stochastic" or row["flag_random"] == "up")
