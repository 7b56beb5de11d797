"""The grid that is asked for: options, files of options, and what would run."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch

from robench import plugins
from robench.errors import ConfigError
from tests.cli.grids import QUICK, Robench, trained, write_suite


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


def test_plan_counts_no_failure_as_done(robench: Robench, mood: Callable[[str], None]) -> None:
    write_suite("broken", "lambda *given: 1 / 0")
    mood("diverge")
    grid = ("run", "-m", "crashing,natural", *QUICK, "--suite", "quick,broken")
    assert robench(*grid).code == 1
    planned = robench(*grid, "--plan").out
    assert "diverged  crashing seed 0, digits, digitscnn: 0/4 evaluations done\n" in planned
    assert "trained   natural seed 0, digits, digitscnn: 2/4 evaluations done, 2 failed" in planned
    again = robench(*grid, "--plan", "--rerun", "failed").out
    assert "to train  crashing seed 0, digits, digitscnn: 0/4 evaluations done\n" in again
    assert "trained   natural seed 0, digits, digitscnn: 2/4 evaluations done\n" in again


def test_a_radius_that_was_not_trained_at_is_noted(robench: Robench) -> None:
    planned = robench("run", "-m", "madry", "--eps", "1/16", "--plan")
    assert "trained at Linf 3/16 but attacked at 1/16 only; --train-eps" in planned.out
    assert "note" not in robench("run", "-m", "madry", "--eps", "1/16,3/16", "--plan").out
    at = robench("run", "-m", "madry", "--eps", "1/16", "--train-eps", "1/16", "--plan")
    assert "trained at Linf 1/16; attacked at Linf 1/16" in at.out


def test_steps_that_cannot_be_meant_are_noted(robench: Robench) -> None:
    far = robench("run", "-m", "madry[attack.step_size=0.5]", "--plan")
    assert "attack.step_size 0.5 is over twice eps 3/16" in " ".join(far.out.split())
    short = robench("run", "-m", "madry[attack.step_size=0.01]", "--plan")
    assert "10 steps of 0.01 do not reach eps 3/16" in " ".join(short.out.split())


def test_steps_of_a_preset_are_those_of_linf(robench: Robench, data_root: Path) -> None:
    grid = ("-m", "madry", "--dataset", "mnist", "--data-root", str(data_root), "--plan")
    assert "do not reach" not in robench("run", *grid, "--norm", "L2").out
    asked = robench("run", *grid, "--norm", "L2", "--set", "madry.attack.step_size=0.01")
    assert "40 steps of 0.01 do not reach eps 2 from the image" in " ".join(asked.out.split())


@pytest.mark.parametrize("dataset", ["digits", "mnist", "cifar10"])
def test_no_preset_is_noted(robench: Robench, request: pytest.FixtureRequest, dataset: str) -> None:
    everything = ",".join(plugins.find("methods"))
    root = "data" if dataset == "digits" else request.getfixturevalue("data_root")
    grid = ("--dataset", dataset, "--data-root", str(root), "--train-limit", "500")
    planned = robench("run", "-m", everything, *grid, "--plan")
    assert planned.code == 0
    assert planned.out.count("to train") >= 46
    assert "note  " not in planned.out


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
    more = robench("run", "--config", "grid.toml", "--set", "recipe.epochs=5", "--plan").out
    assert "epochs 5" in more
    assert "lr 0.01" in more
    assert "madry[attack.steps=3] seed 1" in more
    (tmp_path / "plan.toml").write_text("\ufeffmethods='madry'\nplan=true\n", encoding="utf-8")
    assert robench("run", "--config", "plan.toml").out.endswith("results/local\n")
    monkeypatch.setenv("ROBENCH_SEEDS", "7")
    assert "madry seed 7" in robench("run", "-m", "madry", "--plan").out


def test_a_grid_can_be_asked_for_again_from_its_results(robench: Robench) -> None:
    asked = ("-m", "trades[beta=1,3]", "-m", "natural", "--eps", "1/16,3/16", "--seeds", "1")
    first = robench("run", *asked, *QUICK, "--set", "trades.attack.steps=2")
    (grid,) = Path("results/local/grids").glob("*.toml")
    again = robench("run", "--config", str(grid))
    assert (first.code, again.code) == (0, 0)
    assert len(trained(first)) == 3
    assert not trained(again)
    assert set(Path("results/local/grids").iterdir()) == {grid, grid.with_suffix(".json")}


@pytest.mark.parametrize(
    ("many", "one"),
    [
        (("-m", "madry", "-m", "trades[beta=1,3]"), ("-m", "madry,trades[beta=1,3]")),
        (("--eps", "0", "--eps", "1/16,3/16"), ("--eps", "0,1/16,3/16")),
        (("--train-eps", "1/16", "--train-eps", "1/8"), ("--train-eps", "1/16,1/8")),
        (("--seeds", "0", "--seeds", "3-4"), ("--seeds", "0,3-4")),
        (("--suite", "quick", "--suite", "torchattacks"), ("--suite", "quick,torchattacks")),
        (("--checkpoints", "last", "--checkpoints", "best"), ("--checkpoints", "best,last")),
        (("--dataset", "digits", "--dataset", "digits"), ("--dataset", "digits")),
        (("--model", "digitscnn", "--model", "digitscnn"), ("--model", "digitscnn")),
    ],
)
def test_a_repeated_option_is_a_list(
    many: tuple[str, ...], one: tuple[str, ...], robench: Robench
) -> None:
    planned = [robench("run", "-m", "natural", *typed, "--plan") for typed in (many, one)]
    assert planned[0] == planned[1]
    assert planned[0].code == 0


def test_a_setting_typed_twice_is_kept_once(robench: Robench) -> None:
    twice = ("--set", "recipe.lr=0.1", "--set", "recipe.lr=0.01", "--set", "madry.attack.steps=1")
    first = robench("run", "-m", "madry", *QUICK, *twice)
    (grid,) = Path("results/local/grids").glob("*.toml")
    assert '"recipe.lr" = "0.01"' in grid.read_text(encoding="utf-8")
    again = robench("run", "--config", str(grid))
    assert (first.code, again.code) == (0, 0), again.err
    assert not trained(again)


def test_several_radii_and_suites_are_one_grid(robench: Robench) -> None:
    planned = robench(
        "run", "-m", "madry", "--suite", "quick,torchattacks", "--train-eps", "1/16,3/16", "--plan"
    )
    assert "2 trainings, 8 evaluations by quick, torchattacks" in planned.out


@pytest.mark.parametrize(("options", "place"), [((), "cpu"), (("--plan",), "cuda")])
def test_a_plan_is_probed_where_it_will_run(
    robench: Robench, options: tuple[str, ...], place: str
) -> None:
    """A run's own process leaves the device to its workers."""
    here = mock.Mock(side_effect=ConfigError("far enough"))
    chosen = mock.patch("robench.device.choose", return_value=torch.device("cuda"))
    with chosen, mock.patch("robench.plan.plan", here):
        assert robench("run", "-m", "madry", "--jobs", "1", *options).code == 2
    assert here.call_args.args[1] == torch.device(place)
