"""The benchmarks' own logic, on made-up runs: what differs, what is noise, what is printed."""

import csv
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks import attacks, report
from benchmarks.nets import Subject
from benchmarks.parity import memory, sides, sweep, table, verdicts
from benchmarks.parity.journal import SEEDS, Extent, Journal, play
from benchmarks.parity.rounds import Contest, Measured, Round, Side
from benchmarks.parity.sides import Budget
from benchmarks.parity.table import Row
from robench.analysis.table import gather
from robench.threat import Threat

SCRIPT = Path(attacks.__file__)


def run(stands: str, seconds: float = 1.0) -> Measured:
    """A run after which the images marked with 1 stand."""
    return Measured(seconds, 2 * seconds, tuple(mark == "1" for mark in stands))


def played(*pairs: tuple[str, str], seconds: tuple[float, float] = (3.0, 1.0)) -> list[Round]:
    """Rounds with seeds 0, 1, 2, 0, ...: what stands after the package, and after robench."""
    return [
        Round(
            number % SEEDS,
            {"package": run(theirs, seconds[0]), "robench": run(ours, seconds[1])},
        )
        for number, (theirs, ours) in enumerate(pairs)
    ]


def contest(sides: Mapping[str, str], exact: str = "", what: str = "standard") -> Contest:
    """Sides that always find the same."""

    def always(marks: str) -> Side:
        return lambda seed: (torch.tensor([mark == "1" for mark in marks]), "")

    found = {name: always(marks) for name, marks in sides.items()}
    return Contest(what, Budget(), found, always(exact), tuple(range(100, 110)))


def row(rounds: list[Round], what: str = "standard", exact: str = "") -> Row:
    """A line of the table."""
    return Row("digits", contest({}, exact, what), rounds)


def test_equal_verdicts_are_no_fault() -> None:
    line = row(played(("110", "110"), ("100", "100")))
    assert line.differ == []
    assert table.exit_code([line]) == 0


@pytest.mark.parametrize(("theirs", "ours"), [("100", "110"), ("110", "100")])
def test_a_difference_is_a_fault_whoever_breaks_the_image(theirs: str, ours: str) -> None:
    line = row(played((theirs, ours), (theirs, theirs), (theirs, theirs)), exact=ours)
    (found,) = line.differ
    assert (found.seed, found.image, found.noise) == (0, 1, False)
    assert table.exit_code([line]) == 1


def test_an_image_on_which_the_package_contradicts_itself_is_noise() -> None:
    line = row(played(("100", "110"), ("110", "110"), ("100", "100")))
    (found,) = line.differ
    assert found.noise
    (text,) = table.explained(line)
    assert text.endswith("noise")
    assert table.exit_code([line]) == 0


def test_a_difference_by_rounding_is_none_only_where_robench_contradicts_itself() -> None:
    pairs = [("100", "110"), ("100", "100"), ("100", "100")]
    line = row(played(*pairs), exact="100")
    assert table.exit_code([line]) == 0
    (text,) = table.explained(line)
    assert text.endswith("rounding")
    assert table.exit_code([row(played(*pairs), exact="110")]) == 1
    assert table.exit_code([row(played(*[pairs[0]] * 3), exact="100")]) == 1


def test_a_seed_that_comes_again_counts_once() -> None:
    pairs = [("10", "11"), ("10", "10"), ("10", "10"), ("10", "11")]
    assert len(row(played(*pairs)).differ) == 1


def test_an_audit_may_miss_an_image() -> None:
    rounds = [Round(0, {"package": run("10"), "robench": run("10"), "audited": run("11")})]
    line = replace(row(rounds), side="audited")
    assert len(line.differ) == 1
    assert table.exit_code([line]) == 0


def test_the_tally_tells_why_the_package_breaks_what_robench_calls_robust() -> None:
    #        never broken, robench too with that seed, noise, missed, broken by both
    rounds = played(("11100", "11110"), ("10000", "10110"), ("11100", "11100"))
    found = verdicts.tally(rounds)
    assert (found.robust, found.broken) == (4, 3)
    assert (found.same, found.noise, found.left) == (1, 1, 1)
    assert verdicts.wavering(verdicts.verdicts(rounds, "package")) == {1, 2}
    assert "1 robench breaks with the same seed, 1 are noise, 1 it misses" in table.union(rounds)


def test_speed_is_a_ratio_of_medians_and_no_fault() -> None:
    slow = row(played(("1", "1"), ("1", "1"), seconds=(1.0, 4.0)))
    assert slow.ratio() == slow.ratio("wall") == 0.25
    assert table.exit_code([slow]) == 0
    assert table.spread([1.0, 5.0, 2.0]) == "2.00 s (1.00-5.00)"
    assert table.spread([1.0]) == "1.00 s"


def test_the_table_shows_ratio_goal_and_differences() -> None:
    lines = [row(played(("100", "110"))), row(played(("111", "111")), "apgd-ce")]
    lines.append(replace(lines[0], contest=replace(lines[0].contest, budget=Budget(steps=2))))
    printed = StringIO()
    Console(width=160, file=printed).print(table.table(lines))
    text = printed.getvalue()
    for part in ("digits", "3.00x", "1.4x (2x)", "1 / 2", "1 in 1", "2 steps, 9 targets"):
        assert part in text
    assert "standard *" in text
    assert "apgd-ce *" not in text


@pytest.mark.parametrize(
    ("exact", "said"), [("100", "they agree without the faster copy"), ("110", "not why")]
)
def test_a_fault_says_which_image_and_whether_the_copy_is_why(exact: str, said: str) -> None:
    (text,) = table.explained(row(played(("100", "110")), exact=exact))
    assert text.startswith("test image 101, seed 0: ONLY THE PACKAGE BREAKS IT")
    assert said in text


def journal(folder: Path, conditions: str = "these", started: str = "1") -> Journal:
    return Journal(folder / "attacks.csv", "digits", conditions, started)


def test_a_difference_asks_for_all_seeds_and_patience_ends_the_rest(tmp_path: Path) -> None:
    equal, other = contest({"package": "10", "robench": "10"}), {"package": "10", "robench": "11"}
    hasty = Extent(rounds=5, patience=0.0)
    assert len(play(equal, hasty, journal(tmp_path))) == 1
    rounds = play(contest(other, what="square"), hasty, journal(tmp_path))
    assert [one.seed for one in rounds] == [0, 1, 2]
    assert len(play(replace(equal, what="s", least=2), hasty, journal(tmp_path))) == 2


def test_rounds_are_taken_up_again_where_nothing_has_changed(tmp_path: Path) -> None:
    sides = {"package": "10", "robench": "11"}
    first = play(contest(sides), Extent(rounds=4), journal(tmp_path))
    later = journal(tmp_path, started="2")
    assert later.kept(contest(sides)) == []
    later.rejoin()
    kept = later.kept(contest(sides))
    assert [one.sides["robench"].stands for one in kept] == [(True, True)] * len(first)
    assert [one.seed for one in kept] == [0, 1, 2, 0]
    assert len(play(contest(sides), Extent(rounds=5), later)) == 5
    changed = journal(tmp_path, conditions="others", started="3")
    changed.rejoin()
    assert changed.kept(contest(sides)) == []
    text = later.path.read_text(encoding="utf-8")
    later.path.write_text(text.removesuffix(text.splitlines(keepends=True)[-1]), encoding="utf-8")
    assert len(later.kept(contest(sides))) == 4  # a round with one side is none


def test_the_saved_table_is_csv(tmp_path: Path) -> None:
    table.save(tmp_path / "new" / "attacks.csv", [row(played(("10", "10")))])
    with (tmp_path / "new" / "attacks.csv").open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert (line["network"], line["ratio"], line["differ in seeds"]) == (
        "digits",
        "3.00x",
        "0 in 1",
    )


def test_an_audit_draws_a_tenth_of_what_stands() -> None:
    stands = torch.arange(100) % 2 == 0
    sample, others = sides.drawn(stands, 3)
    assert len(sample) == 5
    assert sorted([*sample.tolist(), *others.tolist()]) == list(range(0, 100, 2))
    assert len(sides.drawn(stands[:2], 3)[0]) == 1
    assert len(sides.drawn(stands & False, 3)[0]) == 0
    assert "at most 42.0% of them" in sides.in_words(5, 45, 0)
    assert "all were attacked" in sides.in_words(5, 45, 1)


def test_memory_that_grows_is_said() -> None:
    assert "flat" in memory.grown([9.0] * 10 + [100.0] * 40)
    assert "GROWS" in memory.grown([100.0 + call for call in range(50)])


@pytest.fixture
def on() -> Subject:
    """Eight random images that a linear network classifies as they are labelled."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).eval(), torch.rand(8, 1, 8, 8)
    y, threat = model(x).argmax(1), Threat("Linf", 0.02)
    return Subject("tiny", model, x, y, torch.arange(8), threat, "0.02", Path("cell"), "0")


def test_a_cascade_attacks_only_what_stands(on: Subject) -> None:
    seen: list[Tensor] = []

    def swap(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        seen.append(y)
        return x.roll(1, 0)

    fell = on.y.roll(1) != on.y
    assert fell.any()
    assert not fell.all()
    anything = replace(on, threat=Threat("Linf", 1.0))
    sides.cascade({"a": swap, "b": swap}, anything, 0)
    assert seen[0].tolist() == on.y.tolist()
    assert seen[1].tolist() == on.y[~fell].tolist()
    assert not sides.cascade({"a": swap}, replace(on, y=(on.y + 1) % 5), 0).any()
    assert len(seen) == 2  # nothing stood, so nothing was attacked


def test_both_sides_agree_at_a_small_budget(on: Subject) -> None:
    pytest.importorskip("pyautoattack")
    budget = Budget(steps=5, targets=2, queries=20)
    for one in attacks.contests(on, attacks.Scale(images=8, budget=budget)):
        sides = {name: side(0)[0].tolist() for name, side in one.sides.items()}
        assert sides["package"] == sides["robench"], one.what


def test_the_script_says_how_to_call_it() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "--quick" in done.stdout


def test_a_sweep_is_measured_against_its_largest_radius(on: Subject) -> None:
    (one,) = sweep.swept(on, Budget(steps=3, targets=2, queries=10), ["upper half"], 0)
    assert one.stand[0] >= one.stand[1]
    assert one.ratio == one.five / one.largest > 0
    printed = StringIO()
    Console(width=160, file=printed).print(sweep.table([one]))
    assert f"{one.ratio:.2f}x" in printed.getvalue()
    assert "{} / {}".format(*one.stand) in printed.getvalue()


def test_cells_made_up_for_a_report_are_trusted(tmp_path: Path) -> None:
    report.make(tmp_path, methods=4, seeds=2, images=20)
    found = gather(tmp_path)
    assert not found.problems
    assert [cell.record["status"] for cell in found.cells].count("failed") == 1
    assert len(found.frames["classes"]["key"].unique()) == 7 * 4
    assert len(found.frames["epochs"]) == 8 * report.EPOCHS
