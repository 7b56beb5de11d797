"""Claims: how they are read, what they are compared on, and their verdicts."""

from pathlib import Path

import pandas as pd
import pytest

from robench.analysis.claims import Claim, examine, judge, read_claims
from robench.analysis.differences import Difference
from robench.errors import ConfigError
from robench.reporting import claims as words
from tests.cli.grids import QUICK, Robench

GRID = """
methods = "madry,natural"
suite = "quick"
checkpoints = "best"
results = "results/paper"
train-limit = 96
test-limit = 40
[set]
"recipe.epochs" = 1
"recipe.validation_images" = 40
"recipe.validation_steps" = 1

[[grid]]
seeds = "0-1"

[[grid]]
model = "digitscnn-tiny"

[[claim]]
says = "PGD gives up natural accuracy"
source = "nobody, nowhere"
method = "madry"
against = ["natural", "nobody"]
measure = "natural"
within = 100

[[claim]]
says = "And is robust for it"
source = "nobody, nowhere"
method = "madry"
against = ["natural"]
by = -100.5
where = { model = "digitscnn" }
remark = "Of course."
"""


def claim(**changes: object) -> Claim:
    return Claim(says="", source="", method="a", against=("b",), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "by", "within", "verdict"),
    [
        (0.01, 0.05, 0, None, "holds"),
        (-0.05, -0.01, 0, None, "does not hold"),
        (-0.01, 0.05, 0, None, "cannot be told"),
        (0.0, 0.0, 0, None, "cannot be told"),  # the same is not higher
        (-0.01, 0.05, -2, None, "holds"),
        (0.01, 0.05, 2, None, "cannot be told"),
        (0.01, 0.019, 2, None, "does not hold"),
        (-0.02, 0.02, 0, 3.0, "holds"),
        (-0.04, 0.02, 0, 3.0, "cannot be told"),
        (0.04, 0.06, 0, 3.0, "does not hold"),
        (-0.06, -0.04, 0, 3.0, "does not hold"),
        (float("nan"), float("nan"), 0, None, "cannot be told"),
    ],
)
def test_verdicts(low: float, high: float, by: float, within: float | None, verdict: str) -> None:
    found = Difference((low + high) / 2, low, high, 3)
    assert judge(claim(by=by, within=within), found) == verdict


@pytest.mark.usefixtures("soon_over")
def test_a_grid_file_of_parts_with_claims(robench: Robench) -> None:
    folder = Path("results/paper")
    folder.mkdir(parents=True)
    (folder / "grid.toml").write_text(GRID, encoding="utf-8")
    planned = robench("run", "--config", "results/paper/grid.toml", "--plan")
    assert planned.out.count("to train") == 6
    assert "digitscnn-tiny: 0/1" in planned.out
    done = robench("run", "--config", "results/paper/grid.toml")
    assert done.code == 0
    assert done.out.splitlines() == ["results/paper/results.csv"] * 2
    assert len(list((folder / "grids").glob("*.toml"))) == 2
    told = robench("report", "results/paper").out
    assert told.count("holds: digits, digitscnn, against natural") == 1
    assert told.count("holds: digits, digitscnn-tiny, against natural") == 1
    assert "holds: digits, digitscnn, quick Linf 3/16, against natural" in told
    assert "madry: worst at most 100.5 points lower" in told
    page = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "**And is robust for it** (nobody, nowhere)." in page
    assert "| digits, digitscnn, quick Linf 3/16 | natural |" in page
    assert "Of course." in page
    tables = folder / "report" / "tables"
    assert "| `madry` | And is robust for it | 1 | 0 | 0 |" in page
    assert (tables / "claims.md").read_text(encoding="utf-8") in page
    rows = pd.read_csv(tables / "claims.csv")
    assert (rows["verdict"] == "holds").all()
    assert ((rows["low"] <= rows["difference"]) & (rows["difference"] <= rows["high"])).all()
    assert (rows["difference"].abs() <= 1).all()


def test_a_shared_setting_is_for_the_parts_that_train_its_method(robench: Robench) -> None:
    shared = '[set]\n"madry.attack" = { steps = 3 }\n"trades.beta" = 2\n'
    parts = '[[grid]]\nmethods = "madry"\n[[grid]]\nmethods = "trades"\n'
    Path("grid.toml").write_text(shared + parts, encoding="utf-8")
    typed = ("--set", "madry.attack.step_size=0.1")
    planned = robench("run", "--config", "grid.toml", *typed, "--plan")
    trains = [line for line in planned.out.splitlines() if line.startswith("to train")]
    assert [line.split()[2] for line in trains] == [
        "madry[attack.step_size=0.1,attack.steps=3]", "trades[beta=2]",
    ]  # fmt: skip


@pytest.mark.usefixtures("soon_over")
def test_a_part_starts_from_what_another_trains(robench: Robench) -> None:
    shared = '[set]\n"madry.attack" = { steps = 3 }\n"trades.beta" = 2\n'
    parts = '[[grid]]\nmethods = "madry"\n[[grid]]\nmethods = "atop[start=madry]"\n'
    other = '[[grid]]\nmethods = "trades"\n'
    Path("grid.toml").write_text(shared + parts + other, encoding="utf-8")
    planned = robench("run", "--config", "grid.toml", "--plan")
    trains = [line for line in planned.out.splitlines() if line.startswith("to train")]
    assert [line.split()[2] for line in trains] == [
        "madry[attack.steps=3]", "madry[attack.steps=3]", "atop[start=madry]", "trades[beta=2]",
    ]  # fmt: skip
    assert robench("run", "--config", "grid.toml", *QUICK).code == 0
    kept = [path.read_text() for path in Path("results/local/grids").glob("*.toml")]
    (part,) = (text for text in kept if "atop" in text)
    assert "madry.attack.steps" in part
    assert "trades" not in part
    (grid,) = (
        path for path in Path("results/local/grids").glob("*.toml") if "atop" in path.read_text()
    )
    again = robench("run", "--config", str(grid), "--plan")
    assert again.code == 0, again.err
    assert "to train" not in again.out


@pytest.mark.parametrize("own", ["", '[grid.set]\n"madry.beta" = 1\n'])
def test_a_setting_of_no_method_of_its_part_is_refused(robench: Robench, own: str) -> None:
    shared = "" if own else '[set]\n"mart.beta" = 1\n'
    parts = '[[grid]]\nmethods = "madry"\n[[grid]]\nmethods = "trades"\n'
    Path("grid.toml").write_text(shared + parts + own, encoding="utf-8")
    planned = robench("run", "--config", "grid.toml", "--plan")
    assert planned.code == 2
    assert "is neither 'recipe' nor one of the methods" in planned.err


def test_what_is_typed_holds_for_all_parts(robench: Robench) -> None:
    Path("grid.toml").write_text(GRID, encoding="utf-8")
    typed = ("run", "--config", "grid.toml", "--methods", "trades", "--set", "recipe.epochs=2")
    planned = robench(*typed, "--plan").out
    assert planned.count("to train  trades seed") == 3
    assert "madry" not in planned
    assert planned.count("epochs 2,") == 2


@pytest.mark.usefixtures("soon_over")
def test_differences_are_those_of_the_outcomes(robench: Robench) -> None:
    from robench.analysis.table import read

    grid = ("-m", "madry,natural", *QUICK, "--seeds", "0-1", "--checkpoints", "best")
    robench("run", *grid, "--eps", "1/4,3/16")
    frames, _ = read(Path("results/local"))
    worst = frames["results"].query("attack == 'worst'").groupby(["eps", "method"])
    accuracy = worst["robust_accuracy"].mean()
    asked = Claim(says="", source="", method="madry", against=("natural",))
    found = examine(asked, frames, Path("results/local")).judged
    assert [one.place.rpartition(" ")[2] for one in found] == ["3/16", "1/4"]
    for one, eps in zip(found, ("3/16", "1/4"), strict=True):
        wanted = accuracy[eps, "madry"] - accuracy[eps, "natural"]
        assert one.difference.mean == pytest.approx(wanted)
        assert one.difference.seeds == 2
        assert words.points(one.difference).startswith(f"{100 * one.difference.mean:+.1f} (")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("claim = 3", "Expected `array`"),
        ('[[claim]]\nsays = "x"', "missing required field"),
        (
            '[[claim]]\nsays="x"\nsource="y"\nmethod="m"\nagainst=["n"]\nmore=1',
            "unknown field `more`",
        ),
        ("[[claim", "grid.toml"),
    ],
)
def test_a_claim_that_is_none_is_one_line(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        read_claims(tmp_path)


def test_no_file_no_claims(tmp_path: Path) -> None:
    assert read_claims(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["grid = 3", "grid = [1]", "claim = 3", '[[grid]]\nmethodes = "x"']
)
def test_a_file_of_parts_that_is_none_is_refused(text: str, robench: Robench) -> None:
    Path("grid.toml").write_text(text, encoding="utf-8")
    refused = robench("run", "--config", "grid.toml", "-m", "madry")
    assert refused.code == 2
    assert len(refused.err.splitlines()) <= 3
