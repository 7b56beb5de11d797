"""Attacks that a method brings along, and threats that only attacks know."""

from pathlib import Path

import pytest

from robench.store.records import read_record
from tests.cli.grids import QUICK, Robench, table

WEAK = '''"""Weak: natural training with an attack that knows it (nobody, nowhere)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.pgd import PGD, PGDAttack
from robench.data.batches import Batch
from robench.radius import NORMS, Norm
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Weak(Method):
    """Its own attack has so many steps."""

    steps: int = 40

    def adaptive(self, norm: Norm) -> Attack | None:
        return PGDAttack(pgd=PGD(steps=self.steps), loss="margin") if norm in NORMS else None

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(batch.x), batch.y)


presets = {"*": Weak()}
'''

GRID = (*QUICK, "--checkpoints", "best")


@pytest.fixture
def weak(tmp_path: Path) -> None:
    """The plugin above."""
    (tmp_path / "methods").mkdir(exist_ok=True)
    (tmp_path / "methods" / "weak.py").write_text(WEAK, encoding="utf-8")


def test_every_suite_includes_it_after_its_first_attack(robench: Robench, weak: None) -> None:
    assert robench("run", "-m", "weak,madry", *GRID).code == 0
    attacks = table().groupby("method")["attack"].agg(list)
    assert attacks["weak"] == ["pgd-20", "adaptive", "pgd-20-margin", "worst"]
    assert attacks["madry"] == ["pgd-20", "pgd-20-margin", "worst"]
    robench("report")
    (path,) = Path("results/local/report/tables").glob("digits-*.md")
    page = path.read_text(encoding="utf-8")
    (head,) = [line for line in page.splitlines() if line.startswith("| method")]
    assert head == "| method | natural | pgd-20 | adaptive | worst | gap |"
    (madry,) = [line for line in page.splitlines() if line.startswith("| madry")]
    assert madry.split("|")[4].strip() == "-"  # it has none


def test_its_settings_are_part_of_the_evaluations_key_alone(robench: Robench, weak: None) -> None:
    robench("run", "-m", "weak,madry", *GRID)
    (record,) = Path("results/local/cells").glob("weak-*/eval/*.json")
    assert read_record(record)["identity"]["adaptive"]["pgd"]["steps"] == 40
    (other,) = Path("results/local/cells").glob("madry-*/eval/*.json")
    assert "adaptive" not in read_record(other)["identity"]


def test_a_suite_cannot_take_its_name(robench: Robench, tmp_path: Path) -> None:
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "mine.py").write_text(
        '"""Mine: for a test (nobody, nowhere)."""\n\n'
        "from robench.adversary.suite import Suite\n\n"
        "suite = Suite({'adaptive': lambda model, x, y, threat: x})\n",
        encoding="utf-8",
    )
    refused = robench("run", "-m", "madry", *GRID, "--suite", "mine")
    assert refused.code == 2
    assert "'adaptive' is the name of a method's own attack" in refused.err


def test_a_flow_is_attacked_and_not_trained_against(robench: Robench, weak: None) -> None:
    grid = ("run", "-m", "weak,madry", *GRID, "--suite", "stadv", "--norm", "flow")
    done = robench(*grid, "--eps", "1/20,1/5")
    assert done.code == 0
    rows = table()
    assert set(rows["norm"]) == {"flow"}
    assert set(rows["train_norm"]) == {"Linf"}
    assert set(rows["attack"]) == {"flow-50", "worst"}  # its own attack knows no flows
    stand = rows[rows["attack"] == "worst"].pivot(
        index="method", columns="eps_value", values="n_stands"
    )
    assert (stand[0.05] >= stand[0.2]).all()
    refused = robench(*grid, "--train-norm", "flow")
    assert (refused.code, "training is against Linf or L2 or L1" in refused.err) == (2, True)
    refused = robench("run", "-m", "weak", *GRID, "--suite", "quick", "--norm", "flow")
    assert "is defined for Linf, L2, not flow" in refused.err
