"""Keys: what they depend on, and what they must not."""

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest

from robench.store.cell import Cell, Evaluation
from robench.training.recipe import Recipe

CELL = Cell(
    method="madry", plugin="p" * 64, settings={"attack": {"steps": 10}}, recipe=Recipe(),
    dataset="digits", data="d" * 64, train_limit=None, model="digitscnn", norm="Linf",
    eps=Fraction(3, 16), seed=0,
)  # fmt: skip

JUDGE = {"plugin": "q" * 64, "attacks": [{"name": "pgd", "steps": 20}], "packages": ""}

EVALUATION = Evaluation(
    cell=CELL.key, checkpoint="best", suite="quick", judge=JUDGE, norm="Linf",
    eps=Fraction(8, 255), test_limit=None,
)  # fmt: skip

OTHER: dict[str, Any] = {
    "method": "trades", "plugin": "x" * 64, "settings": {"attack": {"steps": 11}},
    "recipe": Recipe(lr=0.2), "dataset": "mnist", "data": "e" * 64, "train_limit": 100,
    "model": "smallcnn", "norm": "L2", "eps": Fraction(1, 16), "seed": 1,
    "start": "s" * 64, "extra": "e" * 64,
}  # fmt: skip

SILENT = {"changes": {"beta": "3"}, "label": "madry[x=1]", "deviates": "lr=1"}


@pytest.mark.parametrize("name", [f.name for f in fields(Cell)])
def test_every_field_is_in_the_key_or_known_not_to_be(name: str) -> None:
    assert (name in OTHER) != (name in SILENT)
    changed = replace(CELL, **{name: (OTHER | SILENT)[name]})
    assert (changed.key == CELL.key) == (name in SILENT)


def test_a_key_is_what_it_was_before_there_were_extra_images() -> None:
    assert "extra" not in CELL.identity


@pytest.mark.parametrize("name", [f.name for f in fields(Evaluation)])
def test_every_field_of_an_evaluation_is_in_its_key(name: str) -> None:
    other: dict[str, Any] = {
        "cell": "y" * 64, "checkpoint": "last", "suite": "standard", "judge": {},
        "norm": "L2", "eps": Fraction(2, 255), "test_limit": 10, "sources": {"a": "b"},
        "sweep": (Fraction(1, 255), Fraction(2, 255)), "adaptive": {"is": "EOT"},
    }  # fmt: skip
    assert replace(EVALUATION, **{name: other[name]}).key != EVALUATION.key


@pytest.mark.parametrize(
    "changed",
    [{"attacks": [{"name": "pgd", "steps": 100}]}, {"packages": "torchattacks 9"}, {"plugin": "z"}],
)
def test_a_suite_that_would_judge_otherwise_is_another_key(changed: dict[str, object]) -> None:
    assert replace(EVALUATION, judge={**JUDGE, **changed}).key != EVALUATION.key


def test_keys_do_not_depend_on_how_things_were_written() -> None:
    assert replace(CELL, eps=Fraction("0.1875")).key == CELL.key
    assert replace(CELL, settings=dict(CELL.settings)).key == CELL.key


def test_the_key_of_a_known_cell() -> None:
    # It changes when the protocol, the recipe's fields or their names do; then results are redone.
    assert CELL.key[:8] == "ea0425bc"


def test_names_are_safe_for_any_file_system() -> None:
    assert CELL.name == f"madry-digits-digitscnn-s0-{CELL.key[:8]}"
    assert EVALUATION.name == f"best-quick-Linf-8_255-{EVALUATION.key[:8]}"
