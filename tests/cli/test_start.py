"""Methods that start from the cell of another one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch

from robench.analysis.table import RESULTS
from robench.store.records import read_record, write_record
from tests.cli.grids import QUICK, Robench, table, trained
from tests.conftest import Outcome

TUNED = '''"""Tuned: goes on where another method ended (nobody, nowhere)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Tuned(Method):
    """Its loss moves nothing, so what it starts with is what it ends with."""

    start: str = "madry"

    def starts_from(self) -> str:
        return self.start

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return 0 * F.cross_entropy(model.eval()(batch.x), batch.y)


presets = {"*": Tuned()}
'''

GRID = (*QUICK, "--checkpoints", "best")


@pytest.fixture
def tuned(tmp_path: Path) -> None:
    """The plugin above."""
    (tmp_path / "methods").mkdir(exist_ok=True)
    (tmp_path / "methods" / "tuned.py").write_text(TUNED, encoding="utf-8")


def names(outcome: Outcome) -> list[str]:
    """Methods that a run trained, in order."""
    return [line.split()[1].partition("-")[0] for line in trained(outcome)]


def cell(method: str) -> Path:
    (folder,) = Path("results/local/cells").glob(f"{method}-*")
    return folder


def test_it_begins_with_the_other_cell_s_weights(robench: Robench, tuned: None) -> None:
    done = robench("run", "-m", "tuned", *GRID, "--verbose")
    assert done.code == 0
    assert names(done) == ["madry", "tuned"]
    first, second = (
        safetensors.torch.load_file(cell(name) / "best.safetensors") for name in ("madry", "tuned")
    )
    assert all(first[name].equal(second[name]) for name in first)
    assert set(table()["method"]) == {"tuned"}  # the other was not asked for
    identity = read_record(cell("tuned") / "cell.json")["identity"]
    assert identity["start"] == read_record(cell("madry") / "cell.json")["key"]


def test_one_training_serves_the_grid_and_those_who_start_from_it(
    robench: Robench, tuned: None
) -> None:
    done = robench("run", "-m", "tuned,madry", *GRID, "--verbose")
    assert names(done) == ["madry", "tuned"]
    assert set(table()["method"]) == {"tuned", "madry"}
    again = robench("run", "-m", "tuned,madry", *GRID, "--verbose")
    assert (again.code, names(again)) == (0, [])
    always = robench("run", "-m", "tuned,madry", *GRID, "--verbose", "--rerun", "always")
    assert names(always) == ["madry", "tuned"]


def test_its_settings_are_part_of_the_key(robench: Robench, tuned: None) -> None:
    robench("run", "-m", "tuned", *GRID)
    planned = robench("run", "-m", "tuned,madry", *GRID, "--set", "madry.attack.steps=3", "--plan")
    assert planned.out.count("to train") == 2


def test_weights_that_are_gone_are_trained_again(robench: Robench, tuned: None) -> None:
    robench("run", "-m", "madry", *GRID)
    (cell("madry") / "best.safetensors").unlink()
    done = robench("run", "-m", "tuned", *GRID, "--verbose")
    assert done.code == 0
    assert "weights in results/local/cells/madry" in " ".join(done.err.split())
    assert names(done) == ["madry", "tuned"]


def test_what_was_attacked_before_its_weights_changed_is_attacked_again(
    robench: Robench, tuned: None
) -> None:
    """As if the cell had come from a machine on which training gives other bits."""
    robench("run", "-m", "madry", *GRID)
    before = table()
    folder, other = cell("madry"), "0" * 64
    record = read_record(folder / "cell.json")
    for kept in record["checkpoints"].values():
        kept["sha256"] = other
    write_record(folder / "cell.json", record)
    for path in (folder / "eval").glob("*.json"):
        write_record(path, read_record(path) | {"weights": other})
    for path in folder.glob("*.safetensors"):
        path.unlink()
    done = robench("run", "-m", "madry,tuned", *GRID, "--verbose")
    assert done.code == 0
    assert names(done) == ["madry", "tuned"]
    after = table()
    ours = [c for c in RESULTS if not c.endswith(("seconds", "peak_mb"))]
    pd.testing.assert_frame_equal(after[after["method"] == "madry"][ours], before[ours])
    again = robench("run", "-m", "madry,tuned", *GRID, "--verbose")
    assert (again.code, names(again)) == (0, [])
    assert not [line for line in again.err.splitlines() if line.startswith(("attack", "ok"))]


def test_a_start_that_failed_is_the_reason(
    robench: Robench, mood: Callable[[str], None], tuned: None
) -> None:
    mood("diverge")
    done = robench("run", "-m", "tuned[start=crashing]", *GRID)
    assert done.code == 1
    row = table().set_index("method").loc["tuned"]
    assert row["status"] == "failed"
    assert "crashing, whose cell training starts from, diverged" in row["reason"]
    mood("go on")
    assert robench("run", "-m", "tuned[start=crashing]", *GRID, "--rerun", "failed").code == 0


def test_a_circle_is_refused(robench: Robench, tuned: None) -> None:
    refused = robench("run", "-m", "tuned[start=tuned]", *GRID)
    assert refused.code == 2
    assert "tuned starts from tuned: which begins?" in refused.err
    assert robench("run", "-m", "tuned[start=nobody]", *GRID).code == 2
