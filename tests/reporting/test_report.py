"""The report of a folder: every number from the cells, every figure with its table."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from robench.cli.main import main
from robench.errors import StoreError
from robench.reporting.charts import drawing
from robench.reporting.charts.chart import Rule
from robench.reporting.figures import radii
from tests.conftest import Outcome
from tests.drawing import quickly_drawn

Robench = Callable[..., Outcome]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on a few digits, attacked at three radii."""
    folder = tmp_path_factory.mktemp("grid") / "results"
    arguments = (
        "run", "-m", "natural,madry", "--train-limit", "300", "--test-limit", "50", "--eps",
        "0,1/16,3/16", "--set", "recipe.epochs=2", "--suite", "quick", "--results", str(folder),
        "--jobs", "0",
    )  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code
    return folder


@pytest.fixture(autouse=True)
def drawn() -> Iterator[None]:
    """Figures are laid out, not painted."""
    with quickly_drawn():
        yield


@pytest.fixture
def done(robench: Robench, results: Path) -> Outcome:
    """The same, reported, in a copy that a test may spoil."""
    shutil.copytree(results, "results/local")
    return robench("report")


def test_files_and_terminal(done: Outcome) -> None:
    assert done.code == 0
    assert done.out.splitlines()[-1] == "results/local/report/index.html"
    assert max(map(len, done.out.splitlines())) <= 80
    folder = Path("results/local/report")
    (stem,) = (path.stem for path in (folder / "tables").glob("digits-*.md"))
    assert re.fullmatch("digits-digitscnn-quick-Linf-[0-9a-f]{8}", stem)
    lost = pd.read_csv(folder / "tables" / f"overfitting-{stem}.csv")
    apart = (lost["best"] != lost["last"]).any()
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.*")} == {
        "index.html", "report.md", "tables/tables.csv",
        *(f"tables/{kind}{stem}.{end}" for end in ("csv", "md", "tex")
          for kind in ("", "attacks-", "classes-", "overfitting-", "pairs-")),
        *(f"figures/{kind}-{stem}.{end}" for end in ("csv", "pdf", "png")
          for kind in ("curve", "overestimation", "tradeoff", "training", "classes-natural",
                       "classes-worst", *(["overfitting"] if apart else []))),
    }  # fmt: skip
    page = (folder / "report.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((.+?)\)", page):
        assert (folder / link).is_file()
    assert (folder / "tables" / f"{stem}.md").read_text(encoding="utf-8").strip() in page


@pytest.mark.usefixtures("done")
def test_every_number_comes_from_the_rows() -> None:
    rows = pd.read_csv("results/local/results.csv").query("attack == 'worst'")
    best = rows[rows["checkpoint"] == "best"].to_dict("records")
    by_name = {(row["method"], row["eps"]): row for row in best}
    tables = pd.read_csv("results/local/report/tables/tables.csv")
    assert len(tables) == 2 * 3
    for row in tables.to_dict("records"):
        source = by_name[row["method"], row["eps"]]
        assert row["worst"] == pytest.approx(source["robust_accuracy"])
        assert row["natural"] == pytest.approx(source["natural_accuracy"])
    (drawn,) = Path("results/local/report/figures").glob("curve-*.csv")
    curve = pd.read_csv(drawn)
    assert curve.groupby("method")["eps"].agg(list).tolist() == [["0", "1/16", "3/16"]] * 2
    page = Path("results/local/report/report.md").read_text(encoding="utf-8")
    assert f"{100 * by_name['madry', '3/16']['robust_accuracy']:.1f} (" in page


@pytest.mark.usefixtures("done")
def test_the_report_is_rebuilt_from_the_cells_alone(robench: Robench) -> None:
    before = Path("results/local/report/report.md").read_text(encoding="utf-8")
    for path in Path("results/local").glob("*.csv"):
        path.unlink()
    for path in Path("results/local/cells").rglob("*.safetensors"):
        path.unlink()
    assert robench("report").code == 0
    assert Path("results/local/report/report.md").read_text(encoding="utf-8") == before


@pytest.mark.usefixtures("done")
def test_what_is_not_trusted_is_said(robench: Robench) -> None:
    record = next(Path("results/local/cells").glob("madry*/eval/best-*3_16*.json"))
    record.write_text("{", encoding="utf-8")
    again = robench("report")
    assert again.code == 0
    assert record.name in again.err
    assert record.name in Path("results/local/report/report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("done")
def test_several_folders_at_once(robench: Robench) -> None:
    Path("results/other").symlink_to(Path("results/local").absolute())
    both = robench("report", "results/local", "results/other")
    assert both.code == 0
    assert both.out.count("/report/index.html\n") == 2


@pytest.mark.usefixtures("done")
def test_a_folder_without_results_stops_no_other(robench: Robench) -> None:
    both = robench("report", "nowhere", "results/local")
    assert both.code == 2
    assert both.err.startswith("error: nowhere holds no results")
    assert both.out.endswith("results/local/report/index.html\n")


@pytest.mark.usefixtures("done")
def test_a_new_suite_moves_no_file(robench: Robench) -> None:
    folder = Path("results/local/report")
    before = {path: path.read_bytes() for path in folder.glob("*/*Linf*.*")}
    # It sorts before the one that is there, and its lines are the first of the page.
    ran = robench(
        "run", "-m", "natural", "--train-limit", "300", "--test-limit", "50", "--suite",
        "autoattack", "--set", "recipe.epochs=3", "--checkpoints", "best",
    )  # fmt: skip
    assert ran.code == 0
    assert robench("report").code == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(folder.glob("tables/digits-*.md"))) == 2
    # What the report has no more goes; what is somebody else's stays.
    stem = next(folder.glob("tables/digits-*Linf*.md")).stem
    names = ("notes.md", "curve-old-0123abcd.png", f"other-{stem}.png")
    notes, *old = (folder / "figures" / name for name in names)
    for path in (notes, *old):
        path.touch()
    assert robench("report").code == 0
    assert notes.exists()
    assert not any(path.exists() for path in old)


@pytest.mark.usefixtures("done")
def test_a_folder_that_cannot_be_written_is_shown(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = robench("report").out
    for place in ("robench.analysis.table.write_text", "robench.reporting.report.write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(place, refuse)
            refused = robench("report")
        assert refused.code == 1
        assert refused.out.splitlines() == shown.splitlines()[:-1]
        assert refused.err == "error: cannot write x: Read-only file system\n"


def refuse(path: Path, data: bytes) -> None:
    """As ``store.files.write`` in a folder of somebody else's."""
    raise StoreError("cannot write x: Read-only file system")


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("columns", ["20", "40", "80", "200"])
def test_no_number_is_broken(
    columns: str, robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = robench("report").out.splitlines()
    (madry,) = (line for line in lines if line.startswith("madry "))
    assert re.fullmatch(r"madry( +[\d.]+( \([\d.]+-[\d.]+\))?)+ *", madry)
    assert len(re.findall(r" +[\d.]+( \(.+?\))?", madry)) == 7


def test_a_radius_of_another_norm_is_no_place_on_the_axis(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[Rule] = []
    monkeypatch.setattr(drawing, "_rule", lambda axes, rule, look: marked.append(rule))
    grid = ("run", "-m", "natural", "--train-limit", "96", "--test-limit", "20", "--checkpoints",
            "best", "--set", "recipe.epochs=1", "--eps", "1/32,1/16")  # fmt: skip
    for norm in ("L2", "Linf"):
        assert robench(*grid, "--train-norm", norm, "--train-eps", "1/32").code == 0
    assert robench("report").code == 0
    assert [rule.at for rule in marked if rule.along == "x"] == [1 / 32]


def test_crowded_radii_are_not_printed_over_each_other() -> None:
    assert radii.apart(["0", "1/255", "2/255", "8/255", "3/16"]) == ["0", "8/255", "3/16"]
