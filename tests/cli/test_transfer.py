"""``robench transfer``: cells attack each other, and the report shows what came of it."""

from pathlib import Path

import pandas as pd

from robench.analysis.transfer import COLUMNS
from robench.cli.transfer_command import _ATTACKS
from robench.evaluation.transferring import ATTACKS
from robench.store.records import cell_folders
from tests.cli.grids import QUICK, Robench

RESULTS = Path("results/local")


def test_cells_attack_each_other_and_the_report_shows_it(robench: Robench) -> None:
    grid = ("-m", "natural,natural[recipe.lr=0.01]", *QUICK, "--checkpoints", "best")
    assert robench("run", *grid, "--seeds", "0").code == 0
    asked = ("--images", "12", "--attack", "mi-fgsm")
    found = robench("transfer", *asked)
    names = ["natural", "natural[recipe.lr=0.01]"]
    table = pd.read_csv(RESULTS / "transfer.csv")
    assert tuple(table.columns) == COLUMNS
    pairs = {(source, target) for source in names for target in names}
    assert set(zip(table["source"], table["target"], strict=True)) == pairs
    assert (table["n"] == 12).all()
    assert (table["robust_accuracy"] == table["n_stands"] / 12).all()
    assert (table["n_stands"] <= table["n_right"]).all()
    own = table[table["source"] == table["target"]].set_index("target")["n_stands"]
    apart = table[table["source"] != table["target"]]
    more = apart["target"].map(own) - apart["n_stands"]
    assert (apart["n_only_source"] - apart["n_only_own"] == more).all()
    assert "crafted by mi-fgsm" in found.out
    assert "natural[recipe.lr=0.01] †" in found.out
    assert found.code == int("sign of masking" in found.err)

    content = (RESULTS / "transfer.csv").read_bytes()
    assert robench("transfer", *asked).code == found.code
    assert (RESULTS / "transfer.csv").read_bytes() == content

    assert robench("report").code == 0
    page = (RESULTS / "report" / "report.md").read_text(encoding="utf-8")
    assert "### Transfer: digits" in page
    (figure,) = (RESULTS / "report" / "figures").glob("*transfer-mi-fgsm*.csv")
    assert f"(figures/{figure.stem}.png)" in page
    (RESULTS / "transfer.csv").write_text("nothing\n")
    shown = robench("report")
    assert "is no table of transfers" in shown.err
    assert not figure.exists()

    cell_folders(RESULTS)[0].weights("best").write_bytes(b"torn")
    damaged = robench("transfer", *asked)
    assert damaged.code == 2
    assert damaged.err.count("missing or damaged") == 1
    assert "no two cells that could attack each other" in damaged.err


def test_an_empty_folder_is_refused(robench: Robench) -> None:
    assert "holds no cells" in robench("transfer", "elsewhere").err


def test_every_attack_can_be_asked_for() -> None:
    assert set(_ATTACKS) == set(ATTACKS)
