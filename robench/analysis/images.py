"""The outcome of every test image behind a row of results.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from robench.analysis.differences import Outcome
from robench.evaluation.outcomes import unpack
from robench.store.cell import evaluation_name


def stands(row: Mapping[Any, Any], results: Path, attack: str = "") -> Outcome:
    """Which images, (N,), stand after an attack and all before it; by default after all of them."""
    suite = row["suite"].partition(" @")[0]
    file = evaluation_name({**row, "suite": suite}, row["key"])
    outcomes = unpack(results / "cells" / row["cell"] / "eval" / f"{file}.npz")
    return outcomes.stands[attack] if attack else outcomes.worst


def records(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows as dictionaries."""
    return rows.to_dict("records")
