"""``robench run --save-adversarial``: images beside the outcomes, and no number that changes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robench.analysis.adversarial import distances, read
from robench.analysis.table import RESULTS
from robench.evaluation.outcomes import unpack
from robench.store.records import read_record
from tests.cli.grids import QUICK, Robench, table, trained

GRID = ("run", "-m", "natural", *QUICK, "--eps", "1/16,3/16")
LOCAL = Path("results/local")
WITHOUT = "done before saved no images, or fewer than"


def records() -> list[Path]:
    return sorted(LOCAL.glob("cells/*/eval/*.json"))


def images() -> list[Path]:
    return sorted(LOCAL.glob("cells/*/eval/*.images.safetensors"))


@pytest.mark.parametrize("jobs", ["0", "1"])
def test_images_lie_beside_the_outcomes(jobs: str, robench: Robench) -> None:
    ran = robench(*GRID, "--save-adversarial", "25", "--jobs", jobs)
    assert ran.code == 0
    assert WITHOUT not in ran.err
    assert len(images()) == len(records()) == 4  # last's are best's, where both are the same
    for path in records():
        record = read_record(path)
        kept, outcomes = read(path, record), unpack(path.with_suffix(".npz"))
        fell = (outcomes.stands["natural"] & ~outcomes.worst)[:25]
        assert np.array_equal(kept.position, fell.nonzero()[0])
        assert record["images"]["first"] == 25
        assert record["images"]["fell"] == len(kept.position) == fell.sum()
        eps = {"1/16": 1 / 16, "3/16": 3 / 16}[record["identity"]["eps"]]
        assert (distances(kept, "Linf") <= eps + 1e-6).all()
    assert any(read(path, read_record(path)).position.size for path in records())
    assert robench("report").code == 0
    assert len([*LOCAL.glob("report/figures/gallery-natural-s0-*.csv")]) == 1
    assert "data:image/png;base64," in (LOCAL / "report" / "index.html").read_text("utf-8")


def test_no_number_and_no_name_depends_on_it(robench: Robench) -> None:
    robench(*GRID, "--results", "plain")
    robench(*GRID, "--save-adversarial", "25")
    ours = [c for c in RESULTS if not c.endswith(("seconds", "peak_mb"))]
    pd.testing.assert_frame_equal(table(Path("plain"))[ours], table()[ours])
    for path in records():
        before = Path("plain") / path.relative_to(LOCAL)
        assert "images" not in read_record(before)
        assert before.with_suffix(".npz").read_bytes() == path.with_suffix(".npz").read_bytes()
    assert not list(Path("plain").rglob("*.images.*"))
    grids = [sorted(folder.glob("grids/*")) for folder in (Path("plain"), LOCAL)]
    assert [p.name for p in grids[0]] == [p.name for p in grids[1]]


def test_what_was_done_before_stays_and_is_counted(robench: Robench) -> None:
    robench(*GRID, "--checkpoints", "best")
    before = {path: path.read_bytes() for path in records()}
    asked = robench(*GRID, "--checkpoints", "best", "--save-adversarial", "5")
    assert asked.code == 0
    said = " ".join(asked.err.split())
    assert f"2 evaluations {WITHOUT} 5; --rerun always makes them" in said
    assert {path: path.read_bytes() for path in records()} == before
    assert not images()
    again = robench(*GRID, "--checkpoints", "best", "--save-adversarial", "5", "--rerun", "always")
    assert WITHOUT not in again.err
    assert len(images()) == 2
    assert WITHOUT not in robench(*GRID, "--checkpoints", "best").err
    fewer = robench(*GRID, "--checkpoints", "best", "--save-adversarial", "3")
    assert WITHOUT not in fewer.err
    assert robench(*GRID, "--checkpoints", "best", "--rerun", "always").code == 0
    assert not images()  # they were another evaluation's


def test_all_test_images_are_enough(robench: Robench) -> None:
    grid = ("run", "-m", "natural", *QUICK, "--checkpoints", "best", "--save-adversarial")
    robench(*grid, "40")
    assert WITHOUT not in robench(*grid, "5000").err
    (path,) = records()
    assert len(read(path, read_record(path)).clean) == 40


def test_measures_have_none(robench: Robench) -> None:
    grid = ("run", "-m", "natural", *QUICK, "--checkpoints", "best", "--suite", "detect")
    ran = robench(*grid, "--save-adversarial", "5")
    assert ran.code == 0
    assert WITHOUT not in ran.err
    assert len(records()) == 1
    assert not images()


def test_damaged_images_are_named_and_moved_and_cost_no_outcome(robench: Robench) -> None:
    grid = (*GRID, "--checkpoints", "best", "--save-adversarial", "25")
    robench(*grid)
    whole, damaged = images()  # the radius of training, whose images a report shows, is the last
    content = bytearray(damaged.read_bytes())
    content[-2] ^= 1
    damaged.write_bytes(content)
    assert f"{damaged.name} is missing or damaged; not used" in robench("report").err
    again = robench(*grid)
    assert again.code == 0
    assert not trained(again)
    assert "attack " not in again.err
    said = " ".join(again.err.split())
    assert f"{damaged.name} is damaged; moved to" in said
    assert f"1 evaluation {WITHOUT} 25" in said
    assert images() == [whole]
    assert (damaged.parents[1] / "damaged" / damaged.name).read_bytes() == content


def test_images_go_aside_with_their_record(robench: Robench) -> None:
    grid = (*GRID, "--checkpoints", "best", "--save-adversarial", "25")
    robench(*grid)
    before = {path: path.read_bytes() for path in images()}
    path = records()[0]
    path.write_text(json.dumps({**json.loads(path.read_text()), "n": 3}), encoding="utf-8")
    again = robench(*grid)
    assert "redone" in again.err
    assert {path: path.read_bytes() for path in images()} == before
    assert len(list(LOCAL.glob("cells/*/damaged/*.images.safetensors"))) == 1


def test_less_than_none_is_refused(robench: Robench) -> None:
    assert robench(*GRID, "--save-adversarial", "-1").code == 2
    assert not LOCAL.exists()
