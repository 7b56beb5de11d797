"""The min-max suite in a grid: crafted on the other cells, and on what there is of them."""

import pandas as pd

from tests.cli.grids import QUICK, Robench, table

GRID = (*QUICK, "--suite", "minmax", "--checkpoints", "best", "--test-limit", "12")


def test_an_ensemble_is_crafted_on_the_other_cells_of_the_grid(robench: Robench) -> None:
    refused = robench("run", "-m", "trades,natural", *GRID)
    assert refused.code == 2
    assert "crafts images on cells of natural, madry: add madry to --methods" in refused.err
    assert robench("run", "-m", "natural,madry", *GRID).code == 0
    rows = table()
    every = ["universal", "transformed", "ensemble", "worst"]
    assert rows.groupby("method")["attack"].agg(list).to_dict() == {
        "madry": every, "natural": every,
    }  # fmt: skip
    assert set(rows["verdict"]) == {"upper-bound"}
    crafted = rows[rows["attack"] == "ensemble"].set_index("method")
    # Of two methods one is left to craft on: 40 steps for each image that stands, and a look.
    before = rows[rows["attack"] == "transformed"].set_index("method")["n_stands"]
    passes = pd.DataFrame({"images": before, "forwards": crafted["forwards"]})
    assert (passes["forwards"] == 41 * passes["images"]).all()


def test_what_each_attack_means_is_shown(robench: Robench) -> None:
    shown = " ".join(robench("show", "suite", "minmax").out.split())
    for said in (
        "one perturbation for all images of a group",
        "makes it wrong in every view",
        "looked at by this one",
        "group=10",
    ):
        assert said in shown
