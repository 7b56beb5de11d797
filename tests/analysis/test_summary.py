"""From tidy rows to lines: only seeds are averaged, unlike things stay apart, failures are rows."""

from typing import Any

import pandas as pd
import pytest

from robench.analysis.summary import Summary, summaries
from robench.analysis.table import COUNTS, RESULTS
from robench.errors import StoreError
from robench.intervals import wilson
from robench.reporting import words

Row = dict[str, Any]

BASE: Row = {
    "method": "madry", "settings": None, "deviates": None, "control": None, "plugin": "aaaa",
    "recipe": "", "recipe_key": "bbbb", "dataset": "digits", "data": "cccc", "model": "cnn",
    "settings_key": "ffff", "suite_key": "dddd", "packages": "", "cell": "a",
    "seed": 0, "checkpoint": "best", "epoch": 9, "select_on": "robust", "train_norm": "Linf",
    "train_eps": "3/16", "suite": "quick", "attack": "worst", "norm": "Linf", "eps": "3/16",
    "eps_value": 0.1875, "n": 100, "verdict": "upper-bound", "status": "ok",
}  # fmt: skip


def evaluation(right: int, first: int, worst: int, **columns: Any) -> list[Row]:
    """The rows of one evaluation: two attacks and the worst case."""
    n = columns.get("n", 100)
    rows = []
    for attack, stands in (("pgd", first), ("margin", worst), ("worst", worst)):
        low, high = wilson(stands, n)
        counts = {"n_right": right, "n_stands": stands, "natural_accuracy": right / n}
        bounds = {"robust_accuracy": stands / n, "ci_low": low, "ci_high": high}
        rows.append({**BASE, "attack": attack, **counts, **bounds, **columns})
    return rows


def table(*groups: list[Row]) -> pd.DataFrame:
    frame = pd.DataFrame([row for rows in groups for row in rows], columns=list(RESULTS))
    return frame.astype(dict.fromkeys(COUNTS, "Int64"))


def only(frame: pd.DataFrame) -> Summary:
    (found,) = summaries(frame)
    return found


def test_one_seed_has_its_wilson_interval() -> None:
    (line,) = only(table(evaluation(95, 70, 60))).lines
    assert (line.natural.mean, line.worst["3/16"].mean) == (0.95, 0.6)
    assert (line.worst["3/16"].low, line.worst["3/16"].high) == wilson(60, 100)
    assert line.worst["3/16"].spread is None
    assert line.gap == pytest.approx(0.1)
    assert {name: e.mean for name, e in line.attacks.items()} == {"pgd": 0.7, "margin": 0.6}


def test_seeds_are_averaged_and_nothing_else() -> None:
    found = only(table(*(evaluation(90 + s, 70, 50 + 10 * s, seed=s) for s in range(3))))
    (line,) = found.lines
    assert line.seeds == (0, 1, 2)
    assert line.worst["3/16"].mean == pytest.approx(0.6)
    assert line.worst["3/16"].spread == pytest.approx(0.1)
    assert line.natural.mean == pytest.approx(0.91)
    assert line.gap == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("dataset", "mnist"), ("model", "other"), ("train_norm", "L2"), ("train_eps", "1/16"),
     ("train_limit", 50), ("suite", "autoattack"), ("norm", "L2"), ("test_limit", 100), ("n", 200),
     ("verdict", "full"), ("recipe_key", "x"), ("recipe", "epochs=3"), ("data", "x"),
     ("suite_key", "x"), ("packages", "lib 2")],
)  # fmt: skip
def test_unlike_things_are_in_tables_of_their_own(name: str, value: object) -> None:
    found = summaries(table(evaluation(95, 70, 60), evaluation(95, 70, 60, **{name: value})))
    assert len(found) == 2
    assert all(line.seeds == (0,) for summary in found for line in summary.lines)


def test_settings_make_lines_of_their_own() -> None:
    frame = table(
        evaluation(95, 70, 60), evaluation(95, 70, 65, settings="attack.steps=20"),
        evaluation(95, 70, 55, method="trades"),
    )  # fmt: skip
    labels = [line.label for line in only(frame).lines]
    assert labels == ["madry[attack.steps=20]", "madry", "trades"]  # by worst case


def test_a_number_of_fewer_seeds_says_so() -> None:
    found = only(
        table(
            evaluation(95, 70, 60, seed=0), evaluation(95, 70, 64, seed=1),
            evaluation(96, 80, 75, seed=1, eps="1/16", eps_value=1 / 16),
            evaluation(96, 80, 20, seed=2, eps="1/16", eps_value=1 / 16),
        )
    )  # fmt: skip
    (line,) = found.lines
    assert line.seeds == (0, 1)  # those of the headline; the third has no number there
    assert line.worst["1/16"].seeds == 1
    assert "75.0 (n=1)" in words.cells(found)[0]


def test_two_versions_of_a_plugin_are_two_lines() -> None:
    frame = table(
        evaluation(95, 70, 60), evaluation(95, 70, 65, plugin="eeee"),
        evaluation(95, 70, 55, method="trades"),
    )  # fmt: skip
    labels = [line.label for line in only(frame).lines]
    assert labels == ["madry @eeee", "madry @aaaa", "trades"]


def test_a_wrapper_around_another_method_is_no_other_version() -> None:
    rows = [
        evaluation(95, 70, 60 - k, method="ema", settings=inside, plugin=plugin)
        for k, (inside, plugin) in enumerate(WRAPPED)
    ]
    labels = [line.label for line in only(table(*rows)).lines]
    assert labels == [f"ema[{inside}]" if inside else "ema" for inside, _ in WRAPPED]
    other = evaluation(95, 70, 50, method="ema", settings="decay=0.5,inner=mart", plugin="aaaa")
    marked = [line.label for line in only(table(*rows, other)).lines if " @" in line.label]
    assert marked == ["ema[inner=mart] @bbbb", "ema[decay=0.5,inner=mart] @aaaa"]


WRAPPED = (
    ("", "aaaa"), ("inner=mart", "bbbb"), ("inner=awp", "cccc"), ("gamma=0,inner=awp", "cccc"),
    ("inner=awp,inner.inner=mart", "dddd"), ("decay=0.5,inner=awp,inner.inner=mart", "dddd"),
)  # fmt: skip


def test_best_and_last_stand_side_by_side() -> None:
    frame = table(evaluation(95, 70, 60), evaluation(96, 65, 52, checkpoint="last", epoch=40))
    found = only(frame)
    (line,) = found.lines
    assert found.checkpoint == "best"
    assert line.worst["3/16"].mean == 0.6
    assert line.last is not None
    assert line.last.mean == 0.52
    last = only(frame[frame["checkpoint"] == "last"])
    assert last.checkpoint == "last"
    assert last.lines[0].last is None


def test_a_line_whose_best_was_not_attacked_is_named() -> None:
    found = only(
        table(evaluation(95, 70, 60), evaluation(9, 8, 7, method="mart", checkpoint="last"))
    )
    assert [line.label for line in found.lines] == ["madry"]
    assert [(f.label, f.seeds, f.status) for f in found.failures] == [("mart", (0,), "missing")]


def test_two_numbers_for_one_place_are_never_averaged() -> None:
    with pytest.raises(StoreError, match="two numbers stand for one in a table"):
        summaries(table(evaluation(95, 70, 60), evaluation(95, 70, 40)))


def test_settings_that_only_look_alike_are_two_lines() -> None:
    found = only(table(evaluation(95, 70, 60), evaluation(95, 70, 40, settings_key="eeee")))
    assert [line.label for line in found.lines] == ["madry @ffff", "madry @eeee"]


def test_seeds_without_a_number_at_the_headline_are_named() -> None:
    lasts = [evaluation(96, 65, 50, checkpoint="last", seed=s) for s in (0, 1, 2)]
    elsewhere = evaluation(95, 90, 90, eps="1/16", eps_value=1 / 16, seed=3)
    found = only(table(evaluation(95, 70, 60), *lasts, elsewhere))
    (line,) = found.lines
    assert line.seeds == (0,)
    (missing,) = found.failures
    assert (missing.label, missing.seeds, missing.status) == ("madry", (1, 2, 3), "missing")
    assert missing.reason == "its best checkpoint was not attacked at 3/16"


def test_a_failed_headline_makes_no_easier_one() -> None:
    easy = evaluation(95, 90, 80, eps="1/16", eps_value=1 / 16)
    gone = {"status": "failed", "reason": "no gradient", "n": None}
    at = [{"seed": seed, "checkpoint": name} for seed in (0, 1) for name in ("best", "last")]
    failed: list[Row] = [{**BASE, **gone, **place} for place in at]
    found = only(table(easy, failed))
    assert (found.radii, found.headline, found.checkpoint) == (("1/16", "3/16"), "3/16", "best")
    assert words.title(found).endswith("attacked at Linf 1/16, 3/16 by quick")
    madry, failure = words.cells(found)
    assert madry[words.header(found).index("worst 3/16")] == "-"
    assert failure[:2] == ["madry seeds 0, 1", "failed"]
    said = "madry seeds 0, 1 failed at best 3/16, last 3/16: no gradient"
    assert words.footnotes(found) == [said]
    worst = only(table(evaluation(95, 70, 60, checkpoint="last"), [failed[0]]))
    assert (worst.checkpoint, worst.headline) == ("last", "3/16")
    assert words.caption(worst)[-1] == "Last checkpoint: the weights at the end of training."
    assert words.footnotes(worst) == ["madry seed 0 failed at best 3/16: no gradient"]


def test_failures_of_two_suites_are_two_tables() -> None:
    gone = {"status": "failed", "reason": "no gradient", "n": None, "verdict": None}
    rows: list[Row] = [{**BASE, **gone, "suite": name, "suite_key": name} for name in ("a", "b")]
    titles = [words.title(found) for found in summaries(table(rows))]
    assert [title.rpartition(", ")[2] for title in titles] == [
        "attacked in Linf by a", "attacked in Linf by b",
    ]  # fmt: skip


def test_two_versions_of_a_suite_are_told_apart() -> None:
    found = summaries(table(evaluation(95, 70, 60), evaluation(95, 70, 40, suite_key="eeee")))
    assert [words.title(summary).rpartition(" by ")[2] for summary in found] == [
        "quick @dddd", "quick @eeee",
    ]  # fmt: skip


def test_a_failed_evaluation_stands_in_its_own_table_only() -> None:
    gone = {"status": "failed", "reason": "no gradient", "n": None}
    fine = evaluation(95, 70, 60, test_limit=100)
    limited, whole = summaries(table(fine, [{**BASE, **gone}]))
    assert limited.failures == ()
    assert [f.reason for f in whole.failures] == ["no gradient"]


def test_radii_of_two_norms_are_not_compared() -> None:
    rows = [
        evaluation(95, 70 - k, 60 - k, eps=f"{k}/16", norm="L2", train_eps="1/16") for k in (1, 3)
    ]
    assert only(table(*rows)).headline == "3/16"


def test_the_headline_is_the_radius_of_training() -> None:
    rows = [evaluation(95, 70 - k, 60 - k, eps=f"{k}/16") for k in (5, 1, 3)]
    found = only(table(*rows))
    assert found.radii == ("1/16", "3/16", "5/16")
    assert found.headline == "3/16"
    assert only(table(rows[0], rows[1])).headline == "5/16"


def test_failures_are_rows_and_no_numbers() -> None:
    failed: Row = {**BASE, "method": "mart", "status": "diverged", "reason": "the loss is nan"}
    empty = ("checkpoint", "epoch", "suite", "suite_key", "norm", "eps", "eps_value", "n")
    for name in (*empty, "verdict", "packages"):
        failed[name] = None
    crashed: Row = {
        **BASE,
        "method": "trades",
        "status": "failed",
        "reason": "no gradient",
        "n": None,
    }
    elsewhere: Row = {**failed, "dataset": "mnist"}
    found, other = summaries(table(evaluation(95, 70, 60), [failed, crashed, elsewhere]))
    assert (other.shared["dataset"], other.lines) == ("mnist", ())
    assert [f.reason for f in other.failures] == ["the loss is nan"]
    assert [(f.label, f.status, f.reason) for f in found.failures] == [
        ("mart", "diverged", "the loss is nan"), ("trades", "failed", "no gradient"),
    ]  # fmt: skip
    assert [line.label for line in found.lines] == ["madry"]
    alone = only(table([failed]))
    assert alone.lines == ()
    assert words.cells(alone) == [["mart seed 0", "diverged"]]
    assert words.footnotes(alone) == ["mart seed 0 diverged: the loss is nan"]


def test_no_rows_no_tables() -> None:
    assert summaries(table()) == []


def test_words_carry_everything_a_reader_needs() -> None:
    frame = table(
        evaluation(95, 70, 60, train_limit=1000, test_limit=100, deviates="lr=1 (shared 2)"),
        evaluation(95, 70, 65, train_limit=1000, test_limit=100, method="trades"),
    )  # fmt: skip
    found = only(frame)
    text = " ".join(words.caption(found))
    for part in ("100 test images", "Wilson", "an upper bound, not AutoAttack", "pgd, margin",
                 "held-out validation", "limited to 1,000 training images and 100 test images",
                 "† departs from the shared recipe"):  # fmt: skip
        assert part in text
    assert words.title(found) == (
        "digits, cnn, trained at Linf 3/16, attacked at Linf 3/16 by quick"
    )
    assert words.header(found) == ["method", "natural", "pgd", "worst", "gap"]
    assert words.cells(found)[1] == [
        "madry †",
        "95.0 (88.8-97.8)",
        "70.0",
        "60.0 (50.2-69.1)",
        "10.0",
    ]
    assert words.footnotes(found) == ["† madry: lr=1 (shared 2)"]


def test_negative_controls_are_marked() -> None:
    rows = evaluation(95, 70, 60, method="sap", control="gradients averaged over draws")
    found = only(table(rows, evaluation(95, 70, 65, method="trades")))
    assert [row[0] for row in words.cells(found)] == ["trades", "sap ‡"]
    assert "‡ negative control, known to be weak: see below." in words.caption(found)
    assert words.footnotes(found) == ["‡ sap: broken by gradients averaged over draws"]


def test_fewer_seeds_than_others_are_said() -> None:
    rows = [evaluation(95, 70, 60, seed=s) for s in (0, 1)]
    found = only(table(*rows, evaluation(95, 70, 50, method="trades")))
    labels = [row[0] for row in words.cells(found)]
    assert labels == ["madry", "trades (n=1)"]
    assert words.cells(found)[0][3] == "60.0 ± 0.0"


@pytest.mark.parametrize(("n", "text"), [(200, "53.1"), (10_000, "53.12")])
def test_decimals_that_the_images_can_carry(n: int, text: str) -> None:
    assert words.percent(0.53124, n) == text


def test_the_strongest_suite_of_a_network_stands_first() -> None:
    verdicts = {"quick": "upper-bound", "rand": "stochastic", "sampled": "audited", "whole": "full"}
    rows = [
        evaluation(90, 60, 50, suite=suite, suite_key=suite, verdict=verdict, dataset=dataset)
        for dataset in ("mnist", "digits")
        for suite, verdict in verdicts.items()
    ]
    found = [(s.shared["dataset"], s.shared["suite"]) for s in summaries(table(*rows))]
    strongest = ["whole", "sampled", "rand", "quick"]
    assert found == [(dataset, suite) for dataset in ("digits", "mnist") for suite in strongest]
