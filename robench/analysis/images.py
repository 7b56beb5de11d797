"""The outcome of every test image behind a row of results.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from robench.analysis.differences import Outcome
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes, unpack
from robench.names import TOGETHER
from robench.store.cell import evaluation_name


def stands(row: Mapping[Any, Any], results: Path, attack: str = "") -> Outcome:
    """Which images, (N,), stand after an attack and all before it; by default after all of them."""
    found = outcomes(row, results)
    return found.stands[attack] if attack else found.worst


def outcomes(row: Mapping[Any, Any], results: Path) -> Outcomes:
    """Everything that is kept of a row's images.

    Raises:
        StoreError: the file is missing or damaged.
    """
    suite = row["suite"].partition(" @")[0]
    file = evaluation_name({**row, "suite": suite}, row["key"])
    return unpack(results / "cells" / row["cell"] / "eval" / f"{file}.npz")


def alone(row: Mapping[Any, Any], results: Path) -> dict[str, Outcome]:
    """Which images, (N,), stand against each attack of a suite of measures, run on all of them.

    Measures that say nothing of the kind are left out, and so is what all of them come to.

    Raises:
        StoreError: the file is missing or damaged, or lacks the radius that distances were read at.
    """
    measured = outcomes(row, results).measured
    found = dict[str, Outcome]()
    for name, of in measured.items():
        kind, _, rest = name.partition(".")
        attack, _, evidence = rest.rpartition(".")
        if kind != "image" or attack == TOGETHER:
            continue
        if evidence == "stands":
            found[attack] = of > 0
        elif evidence == "queries":  # none broke it
            found[attack] = of < 0
        elif evidence == "distance":
            radii = measured.get(f"curve.{attack}.robust accuracy.x")
            if radii is None or not len(radii):
                raise StoreError(f"the outcomes of {row['cell']} lack the curve of {attack}")
            found[attack] = of > radii[-1] / 2  # it goes to twice the radius that was read
    return found


def records(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows as dictionaries."""
    return rows.to_dict("records")
