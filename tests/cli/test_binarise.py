"""``robench binarise``: every trained cell is tried, what cannot be is told, a table is written."""

from pathlib import Path

import pandas as pd

from robench.store.records import cell_folders
from tests.cli.grids import QUICK, Robench

RESULTS = Path("results/local")


def test_every_whole_cell_is_tried(robench: Robench) -> None:
    trained = robench("run", "-m", "natural,madry", *QUICK, "--seeds", "0", "--checkpoints", "best")
    assert trained.code == 0
    found = robench("binarise", "--images", "4")
    table = pd.read_csv(RESULTS / "binarisation.csv")
    assert list(table["method"]) == ["madry", "natural"]
    assert (table["n"] <= 4).all()
    assert (table["success"] == table["n_broken"] / table["n"]).all()
    assert (table["passed"] == (table["success"] >= 0.95)).all()
    assert found.code == int(not table["passed"].all())
    for cell in cell_folders(RESULTS):
        cell.weights("best").write_bytes(b"torn")
    damaged = robench("binarise", "--images", "4")
    assert damaged.code == 2
    assert "no cell that could be tested" in damaged.err
    assert damaged.err.count("missing or damaged") == 2


def test_an_empty_folder_is_refused(robench: Robench) -> None:
    assert "holds no cells" in robench("binarise", "elsewhere").err
