"""Suites of measures: what all come to together, their note, and a stand-in on models that draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from robench.adversary.measure import Reading, Value
from robench.adversary.suite import Suite
from robench.check import tiny
from robench.data.load import Data
from robench.errors import AttackError, PluginError
from robench.evaluation.measured import measure
from robench.threat import Threat
from tests.cli.grids import QUICK, Robench

LINF = Threat("Linf", 0.1)


@dataclass(frozen=True)
class Says:
    """A number, and the same for every image."""

    number: float

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        every = torch.full((len(data.test),), self.number)
        return Reading((Value("", self.number, len(every)),), images={"own": every})


def least(readings: Mapping[str, Reading]) -> Reading:
    every = torch.stack([reading.images["own"] for reading in readings.values()]).amin(0)
    return Reading((Value("least", float(every.amin()), len(every)),), images={"least": every})


TWO = Suite(measures={"a": Says(3.0), "b": Says(2.0)}, verdict="none", together=least)


class Drawing(nn.Module):
    """Logits that are never twice the same."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.randn(len(x), 4)


def looked(model: nn.Module, suite: Suite, **how: object) -> Mapping[str, Reading]:
    found = measure(model, suite, tiny.data(), [LINF], 0, lambda *_: None, **how)  # type: ignore[arg-type]
    return found[0].readings


def test_what_all_come_to_stands_after_them_with_its_evidence() -> None:
    found = measure(tiny.classifier(), TWO, tiny.data(), [LINF], 0, lambda *_: None)[0]
    assert list(found.readings) == ["a", "b", "together"]
    assert found.readings["together"].values == (Value("least", 2.0, len(tiny.data().test)),)
    assert (found.outcomes.measured["image.together.least"] == 2).all()
    assert list(found.costs) == ["a", "b"]  # it costs nothing


def test_it_is_part_of_what_a_suite_is() -> None:
    alone = Suite(measures=TWO.measures, verdict="none")
    assert TWO.plain()[:2] == alone.plain()
    assert [part["name"] for part in TWO.plain()] == ["a", "b", "together"]


def test_what_no_table_can_hold_is_refused_of_it_as_well() -> None:
    def endless(readings: Mapping[str, Reading]) -> Reading:
        return Reading((Value("length", float("inf"), 1),))

    suite = Suite(measures={"a": Says(1.0)}, verdict="none", together=endless)
    with pytest.raises(AttackError, match="measure 'together' returned"):
        looked(tiny.classifier(), suite)


def test_attacks_have_no_note_and_nothing_together() -> None:
    with pytest.raises(PluginError, match="only of measures"):
        Suite({"own": lambda model, x, y, threat: x}, note="trust me")
    with pytest.raises(PluginError, match="the table's own word"):
        Suite(measures={"together": Says(1.0)}, verdict="none")


def test_a_stand_in_measures_models_that_draw_or_are_said_to() -> None:
    other = Suite(measures={"c": Says(1.0)}, verdict="none")
    assert list(looked(tiny.classifier(), TWO, stand_in=other)) == ["a", "b", "together"]
    assert list(looked(tiny.classifier(), TWO, stand_in=other, stochastic=True)) == ["c"]
    assert list(looked(Drawing(), TWO, stand_in=other)) == ["c"]
    assert list(looked(Drawing(), TWO)) == ["a", "b", "together"]


SUITE = '''"""Two: a test (nobody, nowhere)."""

from robench.adversary.measure import Reading, Value
from robench.adversary.suite import Suite


def one(model, data, threat):
    return Reading((Value("", 0.25, 4), Value("rest", 0.75, 4)))


def all_of_it(readings):
    return Reading((Value("sum", sum(v.value for r in readings.values() for v in r.values), 4),))


suite = Suite(
    measures={"one": one, "other": one}, verdict="none", together=all_of_it, note="Mind | this."
)
'''


def test_names_and_the_note_are_shown_as_a_reader_needs_them(robench: Robench) -> None:
    Path("attacks").mkdir()
    Path("attacks/two.py").write_text(SUITE, encoding="utf-8")
    grid = ("-m", "natural", *QUICK, "--checkpoints", "best", "--suite", "two")
    assert robench("run", *grid).code == 0
    rows = pd.read_csv("results/local/measures.csv")
    assert rows["measure"].tolist() == ["one", "one", "other", "other", "together"]
    assert set(rows["note"]) == {"Mind | this."}
    report = robench("report")
    assert "Mind | this." in report.out
    assert "no robust accuracy" not in report.out
    (page,) = Path("results/local/report/tables").glob("*.md")
    names = [line.split("|")[1].strip() for line in page.read_text().splitlines() if "0." in line]
    names += [line.split("|")[1].strip() for line in page.read_text().splitlines() if "2.0" in line]
    assert names == ["one", "one: rest", "other", "other: rest", "sum"]
