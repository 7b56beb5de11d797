"""Methods around methods on the command line: labels, keys, presets, other norms and slips."""

from pathlib import Path

import pandas as pd
import pytest

from robench.chosen import Chosen, choose, shared_recipe
from robench.radius import Norm
from robench.settings import plain
from robench.store.grid import Request, choices
from robench.store.records import cell_folders, read_record
from robench.training.method import method
from tests.cli.grids import QUICK, Robench, table, trained
from tests.conftest import Outcome

GRID = (*QUICK, "--checkpoints", "best")


def chosen(
    methods: str, dataset: str = "digits", norm: Norm = "Linf", **changes: object
) -> list[Chosen]:
    """What a grid trains; nothing is read for it."""
    asked = {name.replace("__", "."): value for name, value in changes.items()}
    request = Request(
        methods=tuple(choices(methods)), datasets=(dataset,), models=(), suites=("quick",),
        norm=norm, eps=(), train_norm=norm, train_eps=(), seeds=(0,), changes=asked,
        checkpoints=("best",), train_limit=None, test_limit=None, data_root=Path("data"),
        download=False,
    )  # fmt: skip
    return list(choose(request, {dataset: shared_recipe(dataset, request)}))


LABELS = {
    "awp": ["awp"],
    "awp[inner=trades]": ["awp"],  # which it holds by itself
    "awp[inner=trades,inner.beta=3]": ["awp[inner.beta=3]"],
    "awp[inner=trades,inner.beta=6]": ["awp"],
    "awp[inner=trades,madry]": ["awp", "awp[inner=madry]"],
    "awp[inner=madry,inner.attack.steps=1,2]": [
        "awp[inner=madry,inner.attack.steps=1]", "awp[inner=madry,inner.attack.steps=2]",
    ],
    "ema[inner=awp,inner.inner=trades,inner.inner.beta=3]": ["ema[inner=awp,inner.inner.beta=3]"],
    "ema[inner.attack.steps=3,decay=none]": ["ema[decay=none,inner.attack.steps=3]"],
    "ema[inner.attack.steps=10,inner=madry]": ["ema"],
    "ensemble[inner=awp,craft=own,inner.inner=mart]": [
        "ensemble[craft=own,inner=awp,inner.inner=mart]"
    ],
    "guard[inner=natural,recipe.lr=0.1]": ["guard[inner=natural,recipe.lr=0.1]"],
}  # fmt: skip


@pytest.mark.parametrize("typed", LABELS)
def test_a_label_says_what_differs_from_what_a_name_brings_along(typed: str) -> None:
    found = chosen(typed)
    assert [one.label for one in found] == LABELS[typed]
    again = [one for label in LABELS[typed] for one in chosen(label)]
    assert [one.method for one in again] == [one.method for one in found]


def test_settings_of_the_whole_grid() -> None:
    (one, two) = chosen("awp,awp[inner=mart]", awp__inner="madry", awp__gamma=0.1)
    assert [one.label, two.label] == ["awp[gamma=0.1,inner=madry]", "awp[gamma=0.1,inner=mart]"]
    (inside,) = chosen("awp", awp__inner__beta="2")
    assert inside.label == "awp[inner.beta=2]"
    (apart, _) = chosen("awp,trades", trades__beta=2)  # another method of the grid
    assert apart.label == "awp"


NESTED = ("awp", "ema[inner=awp]", "ema[inner=awp,inner.inner=madry]", "guard")


@pytest.mark.parametrize("typed", NESTED)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_a_cell_s_own_changes_make_its_method_again(typed: str, norm: Norm, dataset: str) -> None:
    """Which is how a cell that is opened again comes by it, whatever the norm."""
    (found,) = chosen(typed, dataset, norm)
    again = method(found.choice.method, dataset, found.choice.changes)
    assert plain(again) == found.settings
    assert found.label == typed


@pytest.mark.parametrize("typed", ["ema", "ema[inner=trades]", "ema[inner=awp,inner.inner=madry]"])
def test_steps_inside_follow_eps_in_another_norm(typed: str) -> None:
    balls: dict[Norm, float | None] = {"Linf": 0.01, "L2": None}
    for norm, size in balls.items():
        (found,) = chosen(typed, "mnist", norm)
        settings = found.settings
        while "inner" in settings:
            settings = settings["inner"]
        assert settings["attack"]["step_size"] == size
    (asked,) = chosen("ema[inner.attack.step_size=0.1]", "mnist", "L2")
    assert asked.settings["inner"]["attack"]["step_size"] == 0.1
    assert asked.label == "ema[inner.attack.step_size=0.1]"


def test_steps_that_cannot_be_meant_are_noted_of_what_is_inside(robench: Robench) -> None:
    grid = "awp[inner=madry,inner.attack.step_size=0.5],ema[inner=awp,inner.inner.attack.steps=0]"
    planned = robench("run", "-m", f"{grid},ensemble[inner.attack.step_size=0.01]", "--plan")
    said = " ".join(planned.out.split())
    assert "awp[inner=madry,inner.attack.step_size=0.5]: inner.attack.step_size 0.5 is over" in said
    assert "ensemble[inner.attack.step_size=0.01]: 10 steps of 0.01 do not reach eps 3/16" in said
    assert said.count(" note ") == 2


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("awp[inner=tradse]", "no method is called 'tradse'; did you mean 'trades'?"),
        ("awp[inner.betta=3]", "awp: inner has no setting 'betta' (did you mean 'beta'?)"),
        ("awp[inner=trades,madry,inner.beta=3]", "awp: inner has no setting 'beta'"),
        ("awp[inner=trades[beta=3]]", "write inner=trades,inner.SETTING=VALUE"),
        ("awp[inner=awp]", "awp is around awp already"),
        ("ema[inner=guard,inner.inner=ema]", "ema is around ema already"),
        ("awp[inner=ema]", "but ema has one of its own; write ema[inner=awp]"),
        ("ensemble[inner=awp]", "add craft=own"),
        ("ema[inner=tla,inner.start=ema]", "ema starts from ema: which begins?"),
        ("awp[gama=1]", "did you mean 'gamma'?"),
    ],
)
def test_slips_are_one_line(typed: str, said: str, robench: Robench) -> None:
    refused = robench("run", "-m", typed, *GRID, "--plan")
    assert refused.code == 2
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1


def test_its_page_shows_the_settings_of_what_is_inside(robench: Robench) -> None:
    page = " ".join(robench("show", "method", "awp").out.split())
    assert "inner trades (a method). The method inside, by name" in page
    assert "inner.beta 6 (a number >= 0). Weight of the KL term" in page
    assert "methods/awp.py" in page


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A method of the current folder: natural training, under another name."""
    page = (Path(__file__).parents[2] / "methods" / "natural.py").read_text(encoding="utf-8")
    path = tmp_path / "methods" / "mine.py"
    path.parent.mkdir()
    path.write_text(page.replace("Natural", "Mine"), encoding="utf-8")
    return path


def planned(outcome: Outcome) -> list[str]:
    """Labels of the cells that are still to be trained."""
    lines = [line.split() for line in outcome.out.splitlines() if line.startswith("to train")]
    return [words[2] for words in lines]


def test_a_cell_is_kept_opened_again_and_goes_by_the_files_it_is_made_of(
    robench: Robench, mine: Path
) -> None:
    grid = ("-m", "ema[inner=mine,decay=none],ema[inner=guard,inner.inner=natural]")
    assert robench("run", *grid, *GRID).code == 0
    labels = ["ema[decay=none,inner=mine]", "ema[inner=guard,inner.inner=natural]"]
    rows = table().query("attack == 'worst'")
    assert sorted(rows["method"] + "[" + rows["settings"] + "]") == labels
    again = robench("run", *grid, *GRID)
    assert (again.code, trained(again)) == (0, [])
    (saved,) = Path("results/local/grids").glob("*.toml")
    assert planned(robench("run", "--config", str(saved), "--plan")) == []
    robench("audit", "--images", "1", "--no-binarise")
    opened = pd.read_csv("results/local/audit.csv")
    assert sorted(set(opened["method"])) == labels
    mine.write_text(mine.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert planned(robench("run", *grid, *GRID, "--plan")) == labels[:1]


def test_what_is_inside_says_where_it_starts(robench: Robench, mine: Path) -> None:
    start = "    def starts_from(self) -> str:\n        return 'natural'\n\n"
    page = mine.read_text(encoding="utf-8").replace("    def loss", f"{start}    def loss")
    mine.write_text(page, encoding="utf-8")
    done = robench("run", "-m", "ema[inner=mine]", *GRID, "--verbose")
    assert done.code == 0
    assert [line.split()[1].partition("-")[0] for line in trained(done)] == ["natural", "ema"]


@pytest.mark.slow
def test_workers_make_the_same_method_from_what_was_typed(robench: Robench, mine: Path) -> None:
    grid = ("-m", "ema[inner=mine],awp[inner=mine,gamma=0.1]", *GRID, "--set", "awp.warmup=0")
    assert robench("run", *grid, "--jobs", "2").code == 0
    here = robench("run", *grid, "--jobs", "0", "--results", "results/here")
    assert here.code == 0
    weights = [
        {cell.path.name: read_record(cell.record)["checkpoints"] for cell in cell_folders(folder)}
        for folder in (Path("results/local"), Path("results/here"))
    ]
    assert weights[0] == weights[1]
    assert len(weights[0]) == 2
