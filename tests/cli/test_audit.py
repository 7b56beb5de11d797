"""``robench audit``: cells are audited, what cannot be is told, a table is printed and written."""

from pathlib import Path

import pandas as pd
import pytest

from robench.evaluation.indicators import indicators
from robench.evaluation.indicators.catalogue import INDICATORS
from robench.store.records import cell_folders
from tests.cli.grids import QUICK, Robench

RESULTS = Path("results/local")

COLUMNS = [
    "method", "dataset", "model", "seed", "checkpoint", "norm", "eps", "attack", "cell",
    "indicator", "status", "value", "n", "detail", "mitigation",
]  # fmt: skip


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer looks at images than anything could be told from."""
    monkeypatch.setattr(indicators, "LOOKS", 3)


def audited(place: Path = RESULTS) -> pd.DataFrame:
    return pd.read_csv(place / "audit.csv", keep_default_na=False, na_values={"value": [""]})


def test_every_whole_cell_is_audited(robench: Robench, few: None) -> None:
    trained = robench("run", "-m", "natural,madry", *QUICK, "--seeds", "0", "--checkpoints", "best")
    assert trained.code == 0
    found, table = robench("audit", "--images", "8"), audited()
    assert list(table.columns) == COLUMNS
    assert list(table["method"].unique()) == ["madry", "natural"]
    for _, rows in table.groupby("cell"):
        assert list(rows["indicator"]) == list(INDICATORS)
    assert set(table["attack"]) == {"pgd-20"}  # the first of the suite that the environment names
    assert table["value"].dropna().between(0, 1).all()
    assert (table["n"] <= 8).all()
    assert ((table["mitigation"] != "") == (table["status"] == "up")).all()
    assert found.code == int((table["status"] == "up").any())
    lines = found.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(sum(line.startswith(name) for line in lines) == 2 for name in INDICATORS)
    (one, other) = cell_folders(RESULTS)
    alone = robench("audit", str(one.path), "--images", "8", "--no-binarise", "--suite", "quick")
    assert alone.code in (0, 1)
    assert list(audited()["cell"].unique()) == [one.path.name]
    assert list(audited()["indicator"]) == list(INDICATORS)[:-1]
    for cell in (one, other):
        cell.weights("best").write_bytes(b"torn")
    damaged = robench("audit", "--images", "2")
    assert damaged.code == 2
    assert "no cell that could be audited" in damaged.err
    assert damaged.err.count("missing or damaged") == 2


def test_what_is_up_comes_with_its_mitigation_and_a_code(
    robench: Robench, few: None, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "methods" / "natural.py").read_text(encoding="utf-8")
    body = (
        "    def deploy(self, model, run):\n"
        "        import torch\n"
        "        torch.nn.Module.train(model, False)\n"
        "        return Stepped(model)\n\n    def loss"
    )
    stepped = (
        "class Stepped(nn.Module):\n"
        "    def __init__(self, model):\n"
        "        super().__init__()\n"
        "        self.model = model\n\n"
        "    def forward(self, x):\n"
        "        return self.model((3 * x).round() / 3)\n\n\n@dataclass"
    )
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "stepped.py").write_text(
        page.replace("@dataclass", stepped, 1).replace("    def loss", body, 1), encoding="utf-8"
    )
    assert robench("run", "-m", "stepped", *QUICK, "--checkpoints", "best").code == 0
    found, table = robench("audit", "--images", "6"), audited().set_index("indicator")
    assert found.code == 1
    flat = table.loc["unavailable-gradients"]
    assert (flat["status"], flat["value"]) == ("up", 1)
    assert flat["mitigation"] == INDICATORS["unavailable-gradients"].remedy
    assert "(BPDA)" in found.out
    features = table.loc["binarisation"]
    assert (features["status"], features["n"]) == ("unknown", 0)
    assert "has no features" in features["detail"]


def test_what_cannot_be_audited_is_refused(robench: Robench) -> None:
    assert "holds no cells" in robench("audit", "elsewhere").err
    refused = robench("audit", "--suite", "detect")
    assert refused.code == 2
    assert "no attack that raises a loss" in refused.err
    assert "no suite is called" in robench("audit", "--suite", "nothing").err
