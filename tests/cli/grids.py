"""A grid so small that it takes a second, and what is asked of its results."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.conftest import Outcome

Robench = Callable[..., Outcome]

QUICK = (
    "--train-limit", "96", "--test-limit", "40", "--set", "recipe.epochs=1",
    "--set", "recipe.validation_images=40", "--set", "recipe.validation_steps=1",
)  # fmt: skip


def write_suite(name: str, attack: str) -> None:
    """A suite of the current folder with one attack, given as an expression."""
    Path("attacks").mkdir(exist_ok=True)
    Path("attacks", f"{name}.py").write_text(
        f'"""{name.title()}: for a test (nobody, nowhere)."""\n\n'
        "from robench.adversary.suite import Suite\n\n"
        f"suite = Suite({{'bad': {attack}}})\n",
        encoding="utf-8",
    )


def table(folder: Path = Path("results/local")) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv")


def trained(outcome: Outcome) -> list[str]:
    """Cells that a run trained."""
    lines = outcome.err.splitlines()
    return [line for line in lines if line.startswith("train ") and "epoch 1/" in line]
