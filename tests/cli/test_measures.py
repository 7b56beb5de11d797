"""Suites that measure: rows and files from the command line, and what is refused of a measure."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from robench.adversary.measure import Curve, Measure, Reading, Value
from robench.adversary.suite import Suite
from robench.analysis.table import COLUMNS, RESULTS
from robench.check import tiny
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.measured import measure
from robench.evaluation.outcomes import pack, unpack
from robench.intervals import wilson
from robench.models.smoothed import Smoothed
from robench.threat import Threat
from tests.cli.grids import QUICK, Robench, table, trained

BEST = ("-m", "natural", *QUICK, "--checkpoints", "best")


def tables(name: str, folder: Path = Path("results/local")) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv")


def records(folder: Path = Path("results/local")) -> dict[Path, dict[str, Any]]:
    """Records of all evaluations by their files."""
    return {p: json.loads(p.read_text()) for p in sorted(folder.glob("cells/*/eval/*.json"))}


def write_measure(name: str, *body: str) -> None:
    """A suite of the current folder with one measure, given as the lines of a function."""
    Path("attacks").mkdir(exist_ok=True)
    lines = "".join(f"    {line}\n" for line in body)
    Path("attacks", f"{name}.py").write_text(
        f'"""{name.title()}: for a test (nobody, nowhere)."""\n\n'
        "import math\n"
        "from pathlib import Path\n\n"
        "import torch\n\n"
        "from robench.adversary.measure import Curve, Reading, Value\n"
        "from robench.adversary.suite import Suite\n\n\n"
        f"def look(model, data, threat):\n{lines}\n\n"
        'suite = Suite(measures={"own": look}, verdict="none")\n',
        encoding="utf-8",
    )


def test_a_value_is_a_row_and_a_curve_joins_it_by_its_key(robench: Robench) -> None:
    run = robench("run", *BEST, "--suite", "detect,quick")
    assert run.code == 0
    attacks = [line for line in run.err.splitlines() if line.startswith("attack ")]
    assert [line.endswith(" stand") for line in attacks if "density at" in line] == [False]
    assert [line.endswith(" stand") for line in attacks if "pgd-20 at" in line] == [True]
    rows, points, attacked = tables("measures"), tables("curves"), table()
    assert tuple(rows.columns) == COLUMNS["measures"]
    assert tuple(points.columns) == COLUMNS["curves"]
    assert set(attacked["suite"]) == {"quick"}
    assert set(rows["suite"]) == {"detect"}
    ((_, record),) = [(p, r) for p, r in records().items() if r["identity"]["suite"] == "detect"]
    said = record["measures"]["density"]["values"]
    assert len(rows) == len(said) == 3 * (1 + 2 * 3)
    assert list(rows["name"]) == [value["name"] for value in said]
    assert not rows["name"].duplicated().any()
    for column in ("value", "low", "high", "n"):
        wanted = [np.nan if value[column] is None else value[column] for value in said]
        np.testing.assert_array_equal(rows[column].astype(float), wanted)
    assert set(rows["measure"]) == {"density"}
    assert set(rows["status"]) == {"ok"}
    assert (rows["eps"] == "3/16").all()
    same = ["method", "dataset", "model", "seed", "checkpoint", "epoch", "test_limit", "cell"]
    assert rows[same].drop_duplicates().values.tolist() == (
        attacked[same].drop_duplicates().values.tolist()
    )
    joined = points.merge(rows[["key", "suite"]].drop_duplicates(), validate="many_to_one")
    assert len(joined) == len(points) > 0
    assert (points.groupby("curve").size() == 101).all()
    logistic = rows[rows["name"].str.contains("logistic") & rows["value"].notna()]
    drawn = {f"ROC {n.removeprefix('AUC ').replace(', logistic', '')}" for n in logistic["name"]}
    assert set(points["curve"]) == drawn


def test_a_measuring_suite_alone_gives_no_robust_accuracy(robench: Robench) -> None:
    grid = ("-m", "natural", *QUICK, "--suite", "augmented", "--eps", "1/16,3/16")
    assert robench("run", *grid).code == 0
    assert tuple(table().columns) == RESULTS
    assert table().empty
    rows = tables("measures")
    assert len(rows) == 2 * 2 * 7
    assert rows.groupby(["checkpoint", "eps"])["name"].nunique().tolist() == [7] * 4
    assert rows["key"].nunique() == 4
    assert tables("curves").empty
    assert robench("report").code == 0
    again = robench("run", *grid)
    assert again.code == 0
    assert not trained(again)
    assert "attack    " not in again.err  # nothing is measured twice
    pd.testing.assert_frame_equal(rows, tables("measures"))


def test_the_evidence_of_a_certificate_is_kept_image_by_image(robench: Robench) -> None:
    assert (
        robench("run", *BEST, "--suite", "certify", "--norm", "L2", "--test-limit", "8").code == 0
    )
    ((path, record),) = records().items()
    outcomes = unpack(path.with_suffix(".npz"))
    radius = outcomes.measured["image.smoothing.radius"]
    right = outcomes.measured["image.smoothing.right"].astype(bool)
    assert radius.shape == right.shape == outcomes.y.shape == (8,)
    assert ((radius == -1) | (radius > 0)).all()
    numbers = tables("measures").set_index("name")
    counts = {
        "certified at eps": int((right & (radius >= 0.75)).sum()),
        "right, at any radius": int((right & (radius >= 0)).sum()),
        "abstained": int((radius < 0).sum()),
    }
    for name, count in counts.items():
        found = numbers.loc[name]
        assert [found["value"], found["low"], found["high"]] == pytest.approx(
            [count / 8, *wilson(count, 8)]
        )
    assert list(outcomes.stands) == ["natural"]
    assert record["stands"] == {"natural": int(outcomes.worst.sum())}
    curve = tables("curves")
    for axis in "xy":
        kept = outcomes.measured[f"curve.smoothing.certified accuracy.{axis}"]
        np.testing.assert_allclose(curve[axis], kept)


def test_a_suite_for_another_norm_is_refused_before_anything_runs(robench: Robench) -> None:
    refused = robench("run", *BEST, "--suite", "certify")
    assert refused.code == 2
    assert "suite 'certify' is defined for L2, not Linf" in refused.err
    assert not Path("results").exists()


def test_a_measure_that_fails_is_a_row_with_its_reason_until_it_is_run_again(
    robench: Robench,
) -> None:
    write_measure(
        "moody",
        'if Path("mood").exists():',
        '    raise RuntimeError("out of luck")',
        'return Reading((Value("answer", 42.0, 7),))',
    )
    Path("mood").touch()
    grid = (*BEST, "--suite", "moody,quick")
    assert robench("run", *grid).code == 1
    (row,) = tables("measures").to_dict("records")
    assert (row["status"], row["suite"]) == ("failed", "moody")
    assert row["reason"] == "AttackError: measure 'own' failed: RuntimeError: out of luck"
    for empty in ("measure", "name", "value", "n"):
        assert pd.isna(row[empty])
    assert set(table()["suite"]) == {"quick"}  # another suite's numbers are not lost
    assert set(table()["status"]) == {"ok"}

    Path("mood").unlink()
    left = robench("run", *grid)
    assert left.code == 1
    assert "failed before" in left.err
    assert "--rerun failed tries it again" in left.err
    again = robench("run", *grid, "--rerun", "failed")
    assert again.code == 0
    assert not trained(again)
    (row,) = tables("measures").to_dict("records")
    assert (row["status"], row["measure"], row["name"]) == ("ok", "own", "answer")
    assert (row["value"], row["n"]) == (42, 7)


def test_what_no_file_can_hold_stops_no_other_cell(robench: Robench) -> None:
    write_measure("endless", 'return Reading((Value("length", math.inf, 1),))')
    run = robench("run", "-m", "natural,madry", *QUICK, "--suite", "endless")
    assert run.code == 1
    assert "Traceback" not in run.err
    rows = tables("measures")
    assert len(rows) == 2 * 2
    assert rows["reason"].str.contains("measure 'own' returned", regex=False).all()


def test_a_number_that_is_not_defined_is_empty_in_the_table_and_null_in_the_record(
    robench: Robench,
) -> None:
    write_measure(
        "partial",
        'values = Value("none", math.nan, 3), Value("some", 0.5, 4, 0.25, 0.75)',
        "line = torch.tensor([0.0, 1.0])",
        'return Reading(values, (Curve("line", "from", "to", line, 1 - line),))',
    )
    run = robench("run", *BEST, "--suite", "partial")
    assert run.code == 0
    assert "none: undefined" in run.err
    ((_, record),) = records().items()
    none, some = record["measures"]["own"]["values"]
    assert none == {"name": "none", "value": None, "n": 3, "low": None, "high": None}
    assert some == {"name": "some", "value": 0.5, "n": 4, "low": 0.25, "high": 0.75}
    text = Path("results/local/measures.csv").read_text(encoding="utf-8").splitlines()
    assert "own,none,,,,3,,ok," in text[1]
    assert "own,some,0.5,0.25,0.75,4,,ok," in text[2]
    points = tables("curves").to_dict("records")
    assert [(p["x_label"], p["y_label"], p["x"], p["y"]) for p in points] == [
        ("from", "to", 0, 1),
        ("from", "to", 1, 0),
    ]


ONE = (Value("one", 1.0, 1),)


def looked(look: Measure, model: nn.Module | None = None, data: Data | None = None) -> Any:
    """What comes of a measure on the tiny task."""
    suite = Suite(measures={"own": look}, verdict="none")
    network, threats = model or tiny.classifier(), [Threat("Linf", 0.1)]
    (found,) = measure(network, suite, data or tiny.data(), threats, 3, lambda *_: None)
    return found


def trains(model: nn.Module, data: Data, threat: Threat) -> Reading:
    model.get_submodule("body").train()
    return Reading(ONE)


def shifts(model: nn.Module, data: Data, threat: Threat) -> Reading:
    with torch.no_grad():
        model(data.test.x())
        next(model.parameters()).add_(1e-6)
    return Reading(ONE)


def counts(model: nn.Module, data: Data, threat: Threat) -> Reading:
    model.train()(data.test.x())  # the statistics of batch normalisation move
    model.eval()
    return Reading(ONE)


def gives(reading: object) -> Callable[..., Any]:
    return lambda *_: reading


def line(x: Tensor, y: Tensor) -> Reading:
    return Reading(ONE, (Curve("line", "x", "y", x, y),))


def fails(error: BaseException) -> Callable[..., Any]:
    def look(*_: object) -> Reading:
        raise error

    return look


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (trains, "measure 'own' left the model in train mode"),
        (shifts, "measure 'own' changed the model"),
        (counts, "measure 'own' changed the model"),
        (fails(ValueError("odd")), "measure 'own' failed: ValueError: odd"),
        (fails(SystemExit(0)), "measure 'own' failed: SystemExit: 0"),
        (fails(MemoryError()), "measure 'own' needs more memory than there is"),
        (fails(AttackError("no features")), "^no features$"),
        (gives(None), "returned a NoneType and not a Reading"),
        (gives(Reading((Value("v", float("inf"), 1),))), "returned Value.*inf"),
        (gives(Reading((Value("v", 1.0, 1, float("nan"), 2.0),))), "returned Value.*nan"),
        (gives(Reading((Value("v", torch.tensor(1.0), 1),))), "returned Value.*tensor"),  # type: ignore[arg-type]
        (gives(Reading((Value("v", 1.0, 0.5),))), "returned Value.*n=0.5"),  # type: ignore[arg-type]
        (gives(Reading(ONE * 2)), "two values of one name"),
        (gives(line(torch.ones(3), torch.ones(2))), "curve 'line' with another x than y"),
        (gives(line(torch.ones(2, 2), torch.ones(2, 2))), "curve 'line' with another x than y"),
        (gives(Reading(ONE, images={"far": torch.ones(3)})), r"'far' of shape \(3,\)"),
        (gives(Reading(ONE, images={"far": torch.ones(64, 2)})), r"'far' of shape \(64, 2\)"),
    ],
)
def test_what_a_measure_may_not_do_is_refused_by_name(look: Measure, said: str) -> None:
    with pytest.raises(AttackError, match=said):
        looked(look)


def test_an_interrupt_is_no_failure_of_the_measure() -> None:
    with pytest.raises(KeyboardInterrupt):
        looked(fails(KeyboardInterrupt()))


def test_a_measure_meets_the_model_in_eval_mode_under_its_own_seed() -> None:
    found = list[tuple[bool, float]]()

    def look(model: nn.Module, data: Data, threat: Threat) -> Reading:
        found.append((any(m.training for m in model.modules()), torch.rand(()).item()))
        return Reading((Value("drawn", found[-1][1] + np.random.rand(), 1),))

    suite = Suite(measures={"one": look, "two": look}, verdict="none")
    threats, model = [Threat("Linf", eps) for eps in (0.1, 0.2)], tiny.classifier()
    before = torch.get_rng_state(), str(np.random.get_state())
    results = [
        measure(model.train(), suite, tiny.data(), threats, seed, lambda *_: None)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == str(np.random.get_state())
    assert not any(training for training, _ in found)
    assert [len(result) for result in results] == [2, 2, 2]
    readings = [evaluated.readings for result in results for evaluated in result]
    drawn = [found[name].values[0].value for found in readings for name in ("one", "two")]
    assert drawn[0:4] == drawn[4:8]
    assert drawn[0:2] == drawn[2:4]  # at every radius the same draws: radii are compared
    assert len(set(drawn)) == 2 * 2


def test_outcomes_hold_what_is_right_by_the_seed_even_where_the_model_draws() -> None:
    torch.manual_seed(0)
    body = tiny.classifier().eval()
    masks = []
    for _ in range(2):
        found = looked(gives(Reading(ONE)), Smoothed(body, 1.0, 1))
        masks.append(found.outcomes.stands["natural"])
    assert np.array_equal(*masks)
    assert 0 < masks[0].mean() < 1


def test_the_cost_of_a_measure_is_what_it_passed_through_the_network() -> None:
    def look(model: nn.Module, data: Data, threat: Threat) -> Reading:
        x = data.test.x(slice(10)).requires_grad_()
        torch.autograd.grad(model(x).sum(), x)
        with torch.no_grad():
            model(data.train.x(slice(7)))
        return Reading(ONE)

    costs = looked(look).costs
    assert (costs["own"].forwards, costs["own"].backwards) == (17, 10)
    assert list(costs) == ["own"]


def test_evidence_and_curves_come_back_from_the_file(tmp_path: Path) -> None:
    test = tiny.data().test
    far, x = torch.arange(64) / 3, torch.linspace(0, 1, 5)
    curve = Curve("a, b", "x", "y", x, x.square())
    data = replace(tiny.data(), test=replace(test, origin=test.origin + 100))
    found = looked(gives(Reading(ONE, (curve,), {"far": far})), data=data)
    path = tmp_path / "one.npz"
    path.write_bytes(pack(found.outcomes))
    back = unpack(path)
    assert set(back.measured) == {"image.own.far", "curve.own.a, b.x", "curve.own.a, b.y"}
    np.testing.assert_allclose(back.measured["image.own.far"], far)
    np.testing.assert_allclose(back.measured["curve.own.a, b.y"], x.square())
    assert np.array_equal(back.origin, np.arange(100, 164))
    assert not back.carried.any()
