"""The grid from end to end on a few digits: what is written, skipped, redone, and said."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from robench.analysis.table import RESULTS
from tests.conftest import Outcome

Robench = Callable[..., Outcome]

QUICK = ("--train-limit", "96", "--test-limit", "40", "--set", "recipe.epochs=1")

CRASHING = '''"""Crashing: raises while it trains (nobody, nowhere)."""

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Crashing(Method):
    """What happens is read from a file, so that the plugin's digest stays the same."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        mood = Path("mood").read_text()
        if mood == "crash":
            raise RuntimeError("out of luck")
        if mood == "interrupt":
            raise KeyboardInterrupt
        loss = F.cross_entropy(model(batch.x), batch.y)
        return loss * float("nan") if mood == "diverge" else loss


presets = {"*": Crashing()}
'''

BROKEN_SUITE = '''"""Broken: its second attack raises (nobody, nowhere)."""

from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite


def bad(model, x, y, threat):
    raise RuntimeError("no gradient")


suite = Suite({"pgd": PGDAttack(pgd=PGD(steps=1)), "bad": bad})
'''


@pytest.fixture
def mood(tmp_path: Path) -> Callable[[str], None]:
    """The plugin above as ``crashing``, and how to change what it does."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "crashing.py").write_text(CRASHING, encoding="utf-8")

    def change(text: str) -> None:
        (tmp_path / "mood").write_text(text, encoding="utf-8")

    return change


def table(folder: Path = Path("results/local")) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv")


def trained(outcome: Outcome) -> list[str]:
    """Cells that a run trained."""
    lines = outcome.err.splitlines()
    return [line for line in lines if line.startswith("train ") and "epoch 1/" in line]


def test_a_grid_leaves_whole_files_and_a_tidy_table(robench: Robench) -> None:
    done = robench("run", "-m", "natural,madry", *QUICK, "--eps", "0,3/16", "--seeds", "0-1")
    assert done.code == 0, done.err
    assert done.out == "results/local/results.csv\n"
    found = table()
    assert list(found.columns) == list(RESULTS)
    # 2 methods x 2 seeds x 2 checkpoints x 2 radii x (2 attacks + worst)
    assert len(found) == 2 * 2 * 2 * 2 * 3
    assert set(found["attack"]) == {"pgd-20", "pgd-20-margin", "worst"}
    assert (found["status"] == "ok").all()
    assert (found["n"] == 40).all()
    assert (found["train_limit"] == 96).all()
    assert set(found["eps"].astype(str)) == {"0", "3/16"}
    at_zero = found[found["eps_value"] == 0]
    assert (at_zero["robust_accuracy"] == at_zero["natural_accuracy"]).all()
    assert (found["n_stands"] <= found["n_right"]).all()
    assert (found["ci_low"] <= found["robust_accuracy"]).all()
    assert (found["robust_accuracy"] <= found["ci_high"]).all()
    for name in ("epochs", "classes", "flags"):
        assert Path(f"results/local/{name}.csv").is_file()
    classes = pd.read_csv("results/local/classes.csv")
    assert classes.groupby("key")["n"].sum().eq(40).all()
    cells = sorted(Path("results/local/cells").iterdir())
    assert [cell.name.rsplit("-", 1)[0] for cell in cells] == [
        f"{m}-digits-digitscnn-s{s}" for m in ("madry", "natural") for s in (0, 1)
    ]
    names = {path.name for path in cells[0].iterdir()}
    weights = {f"{c}.safetensors{s}" for c in ("best", "last") for s in ("", ".sha256")}
    assert names == {"cell.json", "train.csv", "eval", ".lock"} | weights
    assert not list(Path("results").rglob(".*.tmp"))


def test_running_again_runs_nothing(robench: Robench) -> None:
    first = robench("run", "-m", "natural", *QUICK)
    before = {p: p.stat().st_mtime_ns for p in Path("results/local/cells").rglob("*.*")}
    again = robench("run", "-m", "natural", *QUICK)
    assert (first.code, again.code) == (0, 0)
    assert len(trained(first)) == 1
    assert not trained(again)
    after = {p: p.stat().st_mtime_ns for p in Path("results/local/cells").rglob("*.*")}
    assert before == after


def test_more_evaluations_train_nothing_again(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16")
    assert not trained(more)
    assert len(table()) == 2 * 2 * 3


def test_rerun_always_gives_the_same_numbers(robench: Robench) -> None:
    robench("run", "-m", "madry", *QUICK)
    first = table()
    again = robench("run", "-m", "madry", *QUICK, "--rerun", "always")
    assert len(trained(again)) == 1
    ours = [c for c in RESULTS if c not in ("seconds", "train_seconds", "peak_mb")]
    pd.testing.assert_frame_equal(first[ours], table()[ours])


def test_brackets_make_cells_and_equal_settings_are_one_cell(robench: Robench) -> None:
    robench("run", "-m", "trades[beta=1,3,6],trades", *QUICK, "--checkpoints", "best")
    found = table()
    assert sorted(found["settings"].fillna("").unique()) == ["", "beta=1", "beta=3"]
    assert found["cell"].nunique() == 3


def test_other_recipes_are_never_averaged(robench: Robench) -> None:
    for lr in ("0.002", "0.01"):
        robench("run", "-m", "natural", *QUICK, "--set", f"recipe.lr={lr}")
    found = table()
    assert found["recipe_key"].nunique() == 2
    report = robench("report").out
    assert "recipe epochs=1, attacked" in report
    assert "recipe epochs=1 lr=0.01, attacked" in report
    assert report.count("\nnatural ") == 2


def test_deviations_from_the_shared_recipe_are_marked(robench: Robench) -> None:
    robench("run", "-m", "natural,natural[recipe.lr=0.01]", *QUICK, "--checkpoints", "best")
    found = table()
    shared = found["settings"].isna()
    assert found[shared]["deviates"].isna().all()
    assert found[~shared]["settings"].eq("recipe.lr=0.01").all()
    assert found[~shared]["deviates"].eq("lr=0.01 (shared 0.002)").all()
    report = robench("report")
    assert "natural[recipe.lr=0.01] †" in report.out
    assert "† natural[recipe.lr=0.01]: lr=0.01 (shared 0.002)" in report.out


@pytest.mark.parametrize(
    ("what", "status", "reason"),
    [
        ("crash", "failed", "RuntimeError: out of luck"),
        ("diverge", "diverged", "stage train, epoch 1, step 1: the loss is nan"),
    ],
)
def test_a_failed_cell_is_a_row_and_stops_no_other(
    what: str, status: str, reason: str, robench: Robench, mood: Callable[[str], None]
) -> None:
    mood(what)
    done = robench("run", "-m", "crashing,natural", *QUICK)
    assert done.code == 1
    found = table().set_index("method")
    failed = found.loc[["crashing"]]
    assert failed[["status", "reason"]].to_numpy().tolist() == [[status, reason]]
    assert failed[["natural_accuracy", "robust_accuracy"]].isna().all(axis=None)
    assert found.loc[["natural"], "status"].eq("ok").all()
    report = robench("report")
    assert f"crashing seed 0 {status}: {reason}" in " ".join(report.out.split())
    assert robench("status").code == 1
    # It stays failed until it is asked for again.
    mood("well")
    left_alone = robench("run", "-m", "crashing,natural", *QUICK)
    assert left_alone.code == 1
    assert f"crashing seed 0 {status} before: {reason}; --rerun failed" in left_alone.err
    mended = robench("run", "-m", "crashing,natural", *QUICK, "--rerun", "failed")
    assert mended.code == 0
    assert len(trained(mended)) == 1
    assert (table()["status"] == "ok").all()
    assert robench("status").code == 0


def test_a_crashed_attack_is_a_failed_row_without_a_number(
    robench: Robench, tmp_path: Path
) -> None:
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "broken.py").write_text(BROKEN_SUITE, encoding="utf-8")
    done = robench("run", "-m", "natural", *QUICK, "--suite", "broken,quick")
    assert done.code == 1
    found = table()
    failed = found[found["suite"] == "broken"]
    assert set(failed["attack"]) == {"worst"}
    assert set(failed["reason"]) == {"AttackError: attack 'bad' failed: RuntimeError: no gradient"}
    assert failed[["natural_accuracy", "robust_accuracy", "n_stands"]].isna().all(axis=None)
    again = robench("run", "-m", "natural", *QUICK, "--suite", "broken,quick")
    assert again.code == 1
    assert "natural seed 0 best broken Linf 3/16 failed before: AttackError" in again.err
    assert (found[found["suite"] == "quick"]["status"] == "ok").all()


def test_an_interrupted_cell_is_begun_again(robench: Robench, mood: Callable[[str], None]) -> None:
    mood("interrupt")
    stopped = robench("run", "-m", "natural,crashing", *QUICK)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1].startswith("error: interrupted; the same command goes on")
    assert len(table()[table()["method"] == "natural"]) == 6
    status = robench("status")
    assert "1 ok, 1 running" in status.out
    mood("well")
    assert robench("run", "-m", "natural,crashing", *QUICK).code == 0


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "protocol"])
def test_a_damaged_record_is_reported_and_redone(damage: str, robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    (record,) = Path("results/local/cells").glob("*/cell.json")
    text = record.read_text(encoding="utf-8")
    record.write_text(
        {
            "cut": text[: len(text) // 2],
            "changed": text.replace('"seed": 0', '"seed": 1'),
            "foreign": "[]",
            "protocol": text.replace('"protocol": 1', '"protocol": 0'),
        }[damage],
        encoding="utf-8",
    )
    report = robench("report")
    assert report.code == 2
    assert "cell.json" in report.err
    again = robench("run", "-m", "natural", *QUICK)
    assert again.code == 0
    assert "cell.json" in again.err
    assert "redone" in again.err
    assert len(trained(again)) == 1
    assert len(table()) == 6


@pytest.mark.parametrize("damage", ["bit", "gone"])
def test_damaged_weights_are_reported_and_never_attacked(damage: str, robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    (weights,) = Path("results/local/cells").glob("*/best.safetensors")
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1  # one bit: the file still loads
    if damage == "bit":
        weights.write_bytes(content)
    else:
        weights.unlink()
    assert robench("run", "-m", "natural", *QUICK).err.count("trained again") == 0  # not needed
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16", "--checkpoints", "best")
    assert more.code == 0
    assert f"weights in {weights.parent} are missing or damaged; trained again" in more.err
    assert len(trained(more)) == 1
    assert (table()["status"] == "ok").all()
    assert len(table()) == 6 + 3  # one seed, the same weights: what was attacked before holds


def test_outcomes_of_weights_that_are_gone_are_redone_and_said(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    for weights in Path("results/local/cells").glob("*/*.safetensors"):
        weights.unlink()
    # Weights of another machine differ in their last bits: other outcomes' weights, to all effect.
    for path in Path("results/local/cells").glob("*/eval/*.json"):
        path.write_text(path.read_text().replace('"weights": "', '"weights": "0'))
    more = robench("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16", "--checkpoints", "best")
    assert more.code == 0
    assert set(table()["eps"]) == {"1/16", "3/16"}
    assert "is of weights that the cell no longer has; not used" in more.err  # of last


def test_counts_that_are_not_those_of_the_outcomes_are_redone(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK, "--checkpoints", "best")
    before = table()
    (path,) = Path("results/local/cells").glob("*/eval/*.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"stands": dict.fromkeys(record["stands"], 40)}))
    again = robench("run", "-m", "natural", *QUICK, "--checkpoints", "best")
    assert "says other than the outcomes beside it" in again.err
    assert (table()["n_stands"] == before["n_stands"]).all()


def test_a_cell_stands_in_the_table_of_the_grid_that_asked_last(robench: Robench) -> None:
    robench("run", "-m", "natural[recipe.lr=0.01]", *QUICK)
    assert table()["deviates"].notna().all()
    again = robench("run", "-m", "natural", *QUICK, "--set", "recipe.lr=0.01")
    assert not trained(again)
    assert table()["deviates"].isna().all()
    assert table()["settings"].isna().all()


def test_a_damaged_curve_costs_no_number(robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    (curve,) = Path("results/local/cells").glob("*/train.csv")
    curve.write_text("")
    again = robench("run", "-m", "natural", *QUICK)
    assert "train.csv cannot be read" in again.err
    assert len(table()) == 6


def test_steps_of_a_preset_are_those_of_linf(robench: Robench, data_root: Path) -> None:
    grid = ("-m", "madry", "--dataset", "mnist", "--data-root", str(data_root), "--plan")
    assert "do not reach" not in robench("run", *grid, "--norm", "L2").out
    asked = robench("run", *grid, "--norm", "L2", "--set", "madry.attack.step_size=0.01")
    assert "40 steps of 0.01 do not reach eps 2 from the image" in asked.out


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_a_damaged_evaluation_is_reported_and_redone(kind: str, robench: Robench) -> None:
    robench("run", "-m", "natural", *QUICK)
    for path in Path("results/local/cells").glob(f"*/eval/best-*.{kind}"):
        path.write_bytes(path.read_bytes()[:100])
    assert f".{kind}" in robench("report").err
    again = robench("run", "-m", "natural", *QUICK)
    assert again.code == 0
    assert "redone" in again.err
    assert not trained(again)
    assert len(table()) == 6


def test_a_folder_that_cannot_be_written_is_one_clear_line(robench: Robench) -> None:
    done = robench("run", "-m", "natural", *QUICK, "--results", "/proc/nowhere", "-q")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "cannot write /proc/nowhere" in done.err


def test_plan_says_what_would_run_and_runs_nothing(robench: Robench) -> None:
    planned = robench("run", "-m", "madry,trades[beta=3]", *QUICK, "--plan")
    assert planned.code == 0
    assert "to train  trades[beta=3] seed 0, digits, digitscnn: 0/2 evaluations" in planned.out
    assert "trained at Linf 3/16; attacked at Linf 3/16" in planned.out
    assert planned.out.splitlines()[-1] == "results/local"
    assert not Path("results").exists()
    robench("run", "-m", "madry", *QUICK)
    again = robench("run", "-m", "madry", *QUICK, "--plan")
    assert "trained   madry seed 0, digits, digitscnn: 2/2 evaluations done" in again.out


def test_a_radius_that_was_not_trained_at_is_noted(robench: Robench) -> None:
    planned = robench("run", "-m", "madry", "--eps", "1/16", "--plan")
    assert "trained at Linf 3/16 but attacked at 1/16 only; --train-eps" in planned.out
    assert "note" not in robench("run", "-m", "madry", "--eps", "1/16,3/16", "--plan").out
    at = robench("run", "-m", "madry", "--eps", "1/16", "--train-eps", "1/16", "--plan")
    assert "trained at Linf 1/16; attacked at Linf 1/16" in at.out


def test_steps_that_cannot_be_meant_are_noted(robench: Robench) -> None:
    far = robench("run", "-m", "madry[attack.step_size=0.5]", "--plan")
    assert "attack.step_size 0.5 is over twice eps 3/16" in far.out
    short = robench("run", "-m", "madry[attack.step_size=0.01]", "--plan")
    assert "10 steps of 0.01 do not reach eps 3/16" in short.out


def test_config_file_environment_and_command_line(
    robench: Robench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grid.toml").write_text(
        'methods = ["trades[beta=3]", "madry"]\ntrain-limit = 96\ntest_limit = 40\n'
        'seeds = "0-1"\neps = ["1/16", "3/16"]\n[set]\n"recipe.lr" = 0.01\n'
        "[set.recipe]\nepochs = 2\nmilestones = [0.5, 0.75]\n[set.madry.attack]\nsteps = 3\n",
        encoding="utf-8",
    )
    planned = robench("run", "--config", "grid.toml", "--plan")
    assert planned.code == 0, planned.err
    assert "epochs 2" in planned.out
    assert "lr 0.01" in planned.out
    assert "4 trainings, 16 evaluations" in planned.out
    assert "madry[attack.steps=3] seed 1" in planned.out
    assert "digits: 96 train" in planned.out
    wins = robench("run", "--config", "grid.toml", "--seeds", "5", "-m", "madry", "--plan")
    assert "1 trainings, 4 evaluations" in wins.out
    assert "madry[attack.steps=3] seed 5" in wins.out
    monkeypatch.setenv("ROBENCH_SEEDS", "7")
    assert "madry seed 7" in robench("run", "-m", "madry", "--plan").out


def test_a_grid_can_be_asked_for_again_from_its_results(robench: Robench) -> None:
    asked = ("-m", "trades[beta=1,3]", "-m", "natural", "--eps", "1/16,3/16", "--seeds", "0-1")
    first = robench("run", *asked, *QUICK, "--set", "trades.attack.steps=2")
    (grid,) = Path("results/local/grids").glob("*.toml")
    again = robench("run", "--config", str(grid))
    assert (first.code, again.code) == (0, 0)
    assert len(trained(first)) == 6
    assert not trained(again)
    assert list(Path("results/local/grids").iterdir()) == [grid]


def test_progress_as_json(robench: Robench) -> None:
    done = robench("run", "-m", "madry", *QUICK, "--train-limit", "600", "--json")
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [e["event"] for e in events[:3]] == ["started", "training", "epoch"]
    assert events[2]["validation_robust"] >= 0
    assert events[-1]["event"] == "finished"
    assert events[-1]["status"] == "ok"


def test_quiet(robench: Robench) -> None:
    done = robench("run", "-m", "natural", *QUICK, "--train-limit", "600", "-q")
    assert done.err == ""
    assert done.out == "results/local/results.csv\n"


def test_several_radii_and_suites_are_one_grid(robench: Robench) -> None:
    planned = robench(
        "run", "-m", "madry", "--suite", "quick,torchattacks", "--train-eps", "1/16,3/16", "--plan"
    )
    assert "2 trainings, 8 evaluations by quick, torchattacks" in planned.out


@pytest.mark.slow
def test_two_processes_share_a_folder_and_compute_each_cell_once(tmp_path: Path) -> None:
    main = "from robench.cli.main import main; main()"
    grid = ("-m", "natural,madry,trades", "--seeds", "0-1", *QUICK, "--set", "recipe.epochs=3")
    command = [sys.executable, "-c", main, "run", *grid]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    logs = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    lines = [line for log in logs for line in log.splitlines() if "epoch 3/3" in line]
    assert len(lines) == len({line.split(":")[0] for line in lines}) == 6
    assert len(table(tmp_path / "results" / "local")) == 6 * 2 * 3
