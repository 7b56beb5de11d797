"""The outcome of every test image behind a row of results.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from robench.analysis.differences import Outcome
from robench.evaluation.outcomes import Outcomes, unpack
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


def records(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows as dictionaries."""
    return rows.to_dict("records")
