"""Reports of as little as there can be: one image, one seed, ties, no number, only failures."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.cli.grids import QUICK
from tests.conftest import Outcome

Robench = Callable[..., Outcome]

REPORT = Path("results/local/report")


def page() -> str:
    return (REPORT / "index.html").read_text(encoding="utf-8")


def table(kind: str = "digits") -> str:
    (path,) = REPORT.glob(f"tables/{kind}-*quick*.md")
    return path.read_text(encoding="utf-8")


def test_one_image_and_ties(robench: Robench) -> None:
    grid = ("run", "-m", "natural,madry,trades", *QUICK, "--checkpoints", "best")
    robench(*grid, "--test-limit", "1")
    done = robench("report")
    assert done.code == 0
    assert not done.err
    rows = [line for line in table().splitlines() if re.match(r"\| (natural|madry|trades) ", line)]
    assert len(rows) == 3
    robust = [row.split("|")[4].strip() for row in rows]
    for row in rows:
        assert re.search(r"(0|100)\.0 \(\d+\.\d-\d+\.\d\)", row)  # Wilson's interval of one image
    if len(set(robust)) == 1:
        assert not any("**" in cell for cell in robust)  # who leads where all are equal?
    pairs = pd.read_csv(next(REPORT.glob("tables/pairs-*.csv")))
    assert (pairs["holm"] == 1).all()
    assert pairs["noise"].all()
    assert "nan" not in re.sub(r"(?s)<(style|script).*?</\1>", "", page()).lower().split()


def test_what_was_logged_may_be_no_number(robench: Robench, mood: Callable[[str], None]) -> None:
    mood("log")
    robench("run", "-m", "crashing,natural", *QUICK, "--checkpoints", "best")
    assert robench("report").code == 0
    paths = re.findall(r' d="([^"]*)"', page())
    assert paths
    assert not any("nan" in path or "inf" in path for path in paths)


def test_failed_and_missing_cells_say_what_fills_them(
    robench: Robench, mood: Callable[[str], None]
) -> None:
    mood("crash")
    grid = ("run", "-m", "crashing,natural", *QUICK, "--checkpoints", "best", "--seeds", "0-1")
    assert robench(*grid).code == 1
    for cell in Path("results/local/cells").glob("natural-*-s1-*"):
        shutil.rmtree(cell)
    assert robench("report").code == 0
    text = page()
    missing = text[
        text.index('id="missing"') : text.index("</section>", text.index('id="missing"'))
    ]
    assert missing.count("<tr>") == 1 + 3  # two crashed, one is gone
    assert "out of luck" in missing
    assert "not begun" in missing
    commands = re.findall(r"<code>(.*?)</code>", missing)
    assert sum("--rerun failed" in command for command in commands) == 2
    (grid_file,) = Path("results/local/grids").glob("*.toml")
    assert all(f"--config {grid_file}" in command for command in commands)
    mood("fine")
    again = next(command for command in commands if "--rerun failed" in command)
    assert robench(*again.split()[1:]).code == 0  # one command fills all of the grid
    assert robench("report").code == 0
    assert 'id="missing"' not in page()


def test_seeds_that_are_missing_do_not_lead(robench: Robench) -> None:
    grid = ("run", *QUICK, "--checkpoints", "best")
    robench(*grid, "-m", "madry", "--seeds", "0-1")
    robench(*grid, "-m", "trades", "--seeds", "0")
    assert robench("report").code == 0
    (row,) = (line for line in table().splitlines() if line.startswith("| trades (n=1) "))
    assert "*" not in row


def test_nothing_but_failures_is_a_report_too(
    robench: Robench, mood: Callable[[str], None]
) -> None:
    mood("crash")
    robench("run", "-m", "crashing", *QUICK, "--checkpoints", "best")
    assert robench("report").code == 0
    assert "out of luck" in page()
    assert not list(REPORT.glob("figures/*.png"))
