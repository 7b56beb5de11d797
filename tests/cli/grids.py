"""A grid so small that it takes a second, and what is asked of its results."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.conftest import Outcome

Robench = Callable[..., Outcome]

QUICK = ("--train-limit", "96", "--test-limit", "40", "--set", "recipe.epochs=1")


def table(folder: Path = Path("results/local")) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv")


def trained(outcome: Outcome) -> list[str]:
    """Cells that a run trained."""
    lines = outcome.err.splitlines()
    return [line for line in lines if line.startswith("train ") and "epoch 1/" in line]
