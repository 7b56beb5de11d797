"""Commands that read and arrange results: compare, diff, merge, clean, export; and from Python."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import robench as package
from robench.analysis.table import write_tables
from robench.errors import ConfigError
from tests.cli.grids import QUICK, Robench, trained
from tests.committed import DIGITS, cell, evaluation, failed, fallen, files, retrained, taken

MADRY, NATURAL, TRADES = (f"{name}-digits-digitscnn-s0" for name in ("madry", "natural", "trades"))
LOCAL = Path("results/local")


@pytest.fixture
def local(robench: Robench) -> Path:
    """Two cells where commands look for them."""
    write_tables(taken(LOCAL, MADRY, NATURAL))
    return LOCAL


def test_compare(robench: Robench, local: Path) -> None:
    shutil.copy(local / "results.csv", "before.csv")
    done = robench("compare", "--baseline", "before.csv")
    assert (done.code, done.err) == (0, "")
    assert done.out == "24 of 24 worst cases are within the intervals of before.csv\n"
    fallen(evaluation(cell(local, MADRY)), 100)
    failed(evaluation(cell(local, NATURAL)))
    before = files(local)
    done = robench("compare", str(local), "--baseline", "before.csv")
    assert done.code == 1
    moved, gone, count = done.out.splitlines()
    start = "moved: madry digits digitscnn seed 0 best standard Linf 3/16: robust 63.9% -> 36.1% ("
    assert moved.startswith(start)
    assert gone == "failed: natural digits digitscnn seed 0 best standard Linf 3/16: out of luck"
    assert count == "22 of 24 worst cases are within the intervals of before.csv"
    assert files(local) == before


def test_compare_counts_what_is_new(robench: Robench, local: Path) -> None:
    shutil.copy(local / "results.csv", "before.csv")
    taken(local, TRADES)
    done = robench("compare", "--baseline", "before.csv")
    assert done.code == 0
    assert done.out.endswith("before.csv; 12 are new\n")


def test_diff(robench: Robench, local: Path) -> None:
    done = robench("diff", "madry", "natural")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0].startswith(MADRY)
    assert lines[1].startswith(NATURAL)
    assert "  method: madry -> natural" in lines
    assert max(map(len, lines)) <= 80
    assert "best standard Linf 3/16: natural 98.1% -> " in done.out
    shutil.copytree(local, "other")
    done = robench("diff", str(cell(local, MADRY)), str(cell(Path("other"), MADRY)))
    assert (done.code, done.out.splitlines()[-1]) == (0, "the cells are equal")
    assert robench("diff", "madry", "madry", "--results", "other").code == 0


def test_merge(robench: Robench, local: Path) -> None:
    other = taken(Path("other"), MADRY, TRADES)
    done = robench("merge", str(local), "other", "-o", "both")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["3 cells, 36 evaluations", "both"]
    assert robench("report", "both").err == ""
    retrained(cell(other, MADRY), b"other")
    done = robench("merge", str(local), "other", "-o", "none")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert f"cell {cell(other, MADRY).name} has other weights in {local} and other" in done.err
    assert not Path("none").exists()
    done = robench("merge", str(local), "other", "-o", "both", "--duplicates", "all")
    assert done.code == 0
    assert "1 duplicates: the later ones are in both/duplicates" in done.out
    apart = robench("report", "both/duplicates")
    assert (apart.code, apart.err) == (0, "")
    (cell(other, TRADES) / "cell.json").write_text("{}", encoding="utf-8")
    done = robench("merge", "other", "-o", "third")
    assert done.code == 1
    assert "warning: other/cells/trades" in done.err


def test_clean(robench: Robench, local: Path) -> None:
    done = robench("clean", "--failed")
    assert (done.code, done.out) == (0, f"nothing to remove from {local}\n")
    failed(evaluation(cell(local, MADRY)))
    before = files(local)
    done = robench("clean", "--failed")
    assert done.code == 0
    assert str(evaluation(cell(local, MADRY))) in done.out
    assert done.out.splitlines()[-1].endswith("robench clean results/local --failed --yes")
    assert files(local) == before
    done = robench("clean", "--failed", "--yes")
    assert "removed 1, freed " in done.out
    assert "failed" not in (local / "results.csv").read_text("utf-8")
    assert robench("clean", "--failed").out == f"nothing to remove from {local}\n"


def test_what_was_cleaned_is_done_again(robench: Robench) -> None:
    grid = ("run", "-m", "natural", *QUICK)
    assert robench(*grid).code == 0
    path = evaluation(cell(LOCAL), "best-quick")
    failed(path)
    assert robench(*grid).code == 1  # failed before
    assert robench("clean", "--failed", "--yes").code == 0
    assert robench(*grid).code == 0
    assert robench("clean", "--orphans").out == f"nothing to remove from {LOCAL}\n"
    assert path.with_suffix(".npz").is_file()


def test_a_run_goes_on_in_a_merged_folder(robench: Robench) -> None:
    for number in "01":
        grid = ("run", "-m", "natural,madry", "--seeds", number, *QUICK, "--results", number)
        assert robench(*grid).code == 0
    assert robench("merge", "0", "1", "-o", "both").out.splitlines()[0] == "4 cells, 8 evaluations"
    done = robench("run", "-m", "natural,madry", "--seeds", "0,1", *QUICK, "--results", "both")
    assert (done.code, trained(done)) == (0, [])
    assert robench("compare", "0", "--baseline", "both/results.csv").code == 1
    assert robench("compare", "both", "--baseline", "0/results.csv").out.endswith("4 are new\n")
    done = robench("run", "-m", "natural", *QUICK, "--eps", "1/16", "--results", "both")
    assert (done.code, trained(done)) == (0, [])  # the weights are there


def test_export(robench: Robench, local: Path) -> None:
    done = robench("export", "--format", "robustbench")
    assert done.code == 0
    folder, last = done.out.splitlines()
    assert folder == "results/local/robustbench"
    assert last == "8 entries; left empty: link, authors, venue"
    found = sorted(Path(folder, "digits", "Linf").glob("*.json"))
    assert len(found) == 8
    assert json.loads(found[0].read_text("utf-8"))["dataset"] == "digits"
    assert robench("export", "--format", "robustbench", "-o", "there").code == 0
    assert files(Path("there")) == files(Path(folder))
    assert robench("report").err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("compare nowhere --baseline before.csv", "before.csv is no results.csv"),
        ("compare nowhere --baseline results/local/results.csv", "nowhere holds no cells"),
        (
            "compare --baseline results/local/classes.csv",
            "classes.csv is no results.csv: no column",
        ),
        ("compare --baseline results/local", "results/local is no results.csv"),
        ("compare", "Missing option '--baseline'"),
        ("diff mdry natural", "is called 'mdry'; there are: madry"),
        ("diff natural --results nowhere natural", "nowhere holds no cells"),
        ("diff natural", "Missing argument 'CELL'"),
        ("merge nowhere -o there", "nowhere holds no cells to merge"),
        ("merge results/local -o results/local", "comes first as it is"),
        ("merge results/local", "Missing option '-o'"),
        ("merge results/local -o there --duplicates mean", "'mean' is not one of"),
        ("clean", "either --failed or --orphans"),
        ("clean --failed --orphans", "either --failed or --orphans"),
        ("clean nowhere --failed", "nowhere holds no cells"),
        ("export nowhere --format robustbench", "no evaluation with a full verdict"),
        ("export --format other", "'other' is not 'robustbench'"),
    ],
)
def test_nonsense_is_one_line(arguments: str, message: str, robench: Robench, local: Path) -> None:
    before = files(local)
    done = robench(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert message in done.err
    assert files(Path("results")) == {f"local/{name}": text for name, text in before.items()}


def test_from_python(robench: Robench, local: Path) -> None:
    rows = package.load_results("results/local")
    assert set(rows["method"]) == {"madry", "natural"}
    assert rows.to_csv(index=False) == (local / "results.csv").read_text("utf-8")
    found = package.compare(local, local / "results.csv")
    assert not found.bad
    taken(Path("other"), TRADES)
    assert package.merge([local, "other"], "both").cells == 3
    assert len(package.report("both").summaries) == 2
    evaluation(cell(local, MADRY)).with_suffix(".npz").unlink()
    with pytest.warns(UserWarning, match=r"\.npz is missing or damaged"):
        assert len(package.load_results(local)) < len(rows)
    with pytest.raises(ConfigError, match="nowhere holds no results"):
        package.load_results("nowhere")


def test_the_readme_s_example_runs(tmp_path: Path) -> None:
    readme = (DIGITS.parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```py\n(.*?)```", readme, re.DOTALL)
    write_tables(taken(tmp_path / "results" / "digits", MADRY, NATURAL))
    taken(tmp_path / "results" / "local", MADRY, TRADES)
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "madry    1/16    0.936" in done.stdout
    assert (tmp_path / "results" / "both" / "results.csv").is_file()


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import robench; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "sys.exit(bool(new & {'torch', 'numpy', 'pandas', 'click', 'msgspec', 'scipy'}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
