"""The grid from end to end on a few digits: what is written and what is said."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from robench.analysis.table import RESULTS
from robench.data.catalogue import DATASETS
from robench.training.recipes import RECIPES
from tests.cli.grids import QUICK, Robench, table, trained

SHARED = RECIPES["digits"].lr

BROKEN_SUITE = '''"""Broken: its second attack raises (nobody, nowhere)."""

from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite


def bad(model, x, y, threat):
    raise RuntimeError("no gradient")


suite = Suite({"pgd": PGDAttack(pgd=PGD(steps=1)), "bad": bad})
'''


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
    assert names == {"cell.json", "train.csv", "events.jsonl", "eval", ".lock"} | weights
    assert not list(Path("results").rglob(".*.tmp"))


def test_the_worst_case_cost_all_that_was_asked(robench: Robench) -> None:
    assert robench("run", "-m", "madry", *QUICK, "--checkpoints", "best").code == 0
    found = table().set_index("attack")
    (path,) = Path("results/local/cells").rglob("eval/*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    others = record["costs"]["natural"], record["probing"]
    for spent in ("seconds", "forwards", "backwards"):
        assert all(cost[spent] > 0 for cost in others) or spent == "backwards"
        attacks = found.drop(index="worst")[spent].sum() + sum(cost[spent] for cost in others)
        assert found.loc["worst", spent] == pytest.approx(attacks)
    assert record["seconds"] == pytest.approx(found.loc["worst", "seconds"])


def test_brackets_make_cells_and_equal_settings_are_one_cell(robench: Robench) -> None:
    robench("run", "-m", "trades[beta=1,3,6],trades", *QUICK, "--checkpoints", "best")
    found = table()
    assert sorted(found["settings"].fillna("").unique()) == ["", "beta=1", "beta=3"]
    assert found["cell"].nunique() == 3


def test_other_recipes_are_never_averaged(robench: Robench) -> None:
    for lr in (str(SHARED), "0.01"):
        robench("run", "-m", "natural", *QUICK, "--set", f"recipe.lr={lr}")
    found = table()
    assert found["recipe_key"].nunique() == 2
    report = robench("report").out
    assert "recipe epochs=1 validation_images=" in report.replace("\n", "")
    assert "recipe epochs=1 lr=0.01 validation_images=" in report.replace("\n", "")
    assert report.count("\nnatural ") == 2


def test_deviations_from_the_shared_recipe_are_marked(robench: Robench) -> None:
    robench("run", "-m", "natural,natural[recipe.lr=0.01]", *QUICK, "--checkpoints", "best")
    found = table()
    shared = found["settings"].isna()
    assert found[shared]["deviates"].isna().all()
    assert found[~shared]["settings"].eq("recipe.lr=0.01").all()
    assert found[~shared]["deviates"].eq(f"lr=0.01 (shared {SHARED})").all()
    report = robench("report")
    assert "natural[recipe.lr=0.01] †" in report.out
    assert f"† natural[recipe.lr=0.01]: lr=0.01 (shared {SHARED})" in report.out


@pytest.mark.parametrize(
    ("what", "status", "reason"),
    [
        ("crash", "failed", "RuntimeError: out of luck"),
        ("leave", "failed", "SystemExit: 0"),
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


def test_a_folder_that_cannot_be_written_is_one_clear_line(robench: Robench) -> None:
    done = robench("run", "-m", "natural", *QUICK, "--results", "/proc/nowhere", "-q")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "cannot write /proc/nowhere" in done.err


@pytest.mark.parametrize("inside", ["true", "false"])
def test_the_recipe_says_whether_the_network_normalises(
    inside: str, robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bright = replace(DATASETS["digits"], mean=(0.3,), std=(0.4,))
    monkeypatch.setitem(DATASETS, "digits", bright)
    robench("run", "-m", "natural", *QUICK, "--set", f"recipe.normalise={inside}")
    (weights,) = Path("results/local/cells").glob("*/best.safetensors")
    kept = load_file(weights)
    found = kept["model.mean"].item(), kept["model.std"].item()
    assert found == pytest.approx((0.3, 0.4) if inside == "true" else (0, 1))


def test_progress_as_json(robench: Robench) -> None:
    done = robench("run", "-m", "madry", *QUICK, "--train-limit", "600", "--json")
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [e["event"] for e in events[:3]] == ["started", "training", "epoch"]
    assert events[2]["validation_robust"] >= 0
    assert events[-1]["event"] == "finished"
    assert events[-1]["status"] == "ok"


def test_json_has_no_number_that_json_has_not(
    robench: Robench, mood: Callable[[str], None]
) -> None:
    mood("log")
    done = robench("run", "-m", "crashing", *QUICK, "--json")
    assert done.code == 0

    def refuse(text: str) -> None:
        raise AssertionError(text)

    events = [json.loads(line, parse_constant=refuse) for line in done.err.splitlines()]
    assert [event["log"] for event in events if event["event"] == "epoch"] == [{"margin": None}]


def test_progress_says_what_falls_away_with_a_training(
    robench: Robench, mood: Callable[[str], None]
) -> None:
    mood("crash")
    done = robench("run", "-m", "crashing,natural", *QUICK, "--json")
    events = [json.loads(line) for line in done.err.splitlines()]
    finished = [event for event in events if event["event"] == "finished"]
    asked = events[0]["trainings"] + events[0]["evaluations"]
    assert sum(1 + event["dropped"] for event in finished) == asked


def test_verbose_says_where_a_failure_comes_from(
    robench: Robench, mood: Callable[[str], None]
) -> None:
    mood("crash")
    done = robench("run", "-m", "crashing", *QUICK, "-v")
    assert 'raise RuntimeError("out of luck")' in done.err
    assert "Traceback" not in robench("run", "-m", "crashing", *QUICK, "--rerun", "failed").err


def test_quiet_still_says_what_failed(robench: Robench, mood: Callable[[str], None]) -> None:
    mood("crash")
    done = robench("run", "-m", "crashing", *QUICK, "-q")
    assert re.fullmatch(
        r"failed    crashing seed 0: RuntimeError: out of luck \(\d+ s\)\n", done.err
    )


def test_quiet(robench: Robench) -> None:
    done = robench("run", "-m", "natural", *QUICK, "--train-limit", "600", "-q")
    assert done.err == ""
    assert done.out == "results/local/results.csv\n"
