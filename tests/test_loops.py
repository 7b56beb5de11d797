"""The loops of benchmarks/train.py do the same: what differs is what it takes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from benchmarks import train
from benchmarks.loops import ours, reference
from benchmarks.loops.packages import PACKAGES
from benchmarks.loops.profile import PARTS, shares
from benchmarks.loops.task import Extent, Task, task
from robench.models.layout import laid_out
from robench.models.passes import Passes
from robench.seeds import seeded

SIDES = {"public": reference.PUBLIC, "careful": reference.CAREFUL}


@pytest.fixture
def small() -> Iterator[Task]:
    """Two updates on 24 digits, two inner steps, and nothing random but starts."""
    with (
        mock.patch("benchmarks.loops.reference.INNER", 2),
        mock.patch("benchmarks.loops.task.INNER", 2),
    ):
        made = task(Extent("digits", "digitscnn", 12, 2), Path())
        recipe = replace(made.recipe, augment="none", optimizer="sgd", lr=0.01)
        yield replace(made, recipe=recipe)


def _weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def _after(loop: str, method: str, on: Task) -> Tensor:
    """The weights that a turn of a loop leaves."""
    model = on.network()
    with mock.patch.object(Task, "network", return_value=model), seeded(0):
        reference.reference(SIDES[loop], method, on)()
    return _weights(model)


@pytest.mark.parametrize("method", ["natural", "madry", "trades", "awp"])
def test_both_loops_come_to_the_same_weights(small: Task, method: str) -> None:
    public, careful = (_after(loop, method, small) for loop in SIDES)
    before = _weights(small.network())
    moved = (careful - before).norm()
    assert moved > 0
    # The way up of AWP is the difference of float32 weights, in the public loop.
    assert (public - careful).norm() < (0.02 if method == "awp" else 1e-3) * moved


def test_robench_sees_the_same_batches(small: Task) -> None:
    model = laid_out(small.network())
    with mock.patch.object(Task, "network", return_value=model):
        done = ours.Ours("natural", small)()
    assert done.passes == Passes(24, 24)
    careful = _after("careful", "natural", small)
    moved = (careful - _weights(small.network())).norm()
    assert (_weights(model) - careful).norm() < 1e-3 * moved


@pytest.mark.parametrize("method", ours.CHANGES)
def test_no_image_is_passed_more_often_than_declared(small: Task, method: str) -> None:
    counted, declared = ours.passes(method, small)
    assert counted.forwards <= declared.forwards
    assert counted.backwards <= declared.backwards
    assert method == "awp" or counted == declared  # which declares the most
    said, fine = train.counts(small, method)
    assert (said, fine) == (f"{counted.forwards} F + {counted.backwards} B", True)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_train(small: Task, package: str) -> None:
    turn = PACKAGES[package]("madry", small)
    assert turn is not None
    with mock.patch("benchmarks.loops.packages.INNER", 2):
        turn()
    assert PACKAGES[package]("awp", small) is None


def test_every_turn_stands_next_to_one_of_robench(small: Task) -> None:
    sides, turns = len(train.SIDES), list[str]()

    def seconds(side: str, name: str, on: Task) -> float:
        turns.append(side)
        return 1.0 if side == train.OURS else 2.0

    with mock.patch.object(train, "_seconds", seconds):
        rows = train.compared(small, "madry", 2)
    assert turns[:sides] == [*train.SIDES]  # which warms up
    pairs = list(zip(turns[sides::2], turns[sides + 1 :: 2], strict=True))
    assert len(pairs) == 2 * (sides - 1)
    assert all(pair.count(train.OURS) == 1 for pair in pairs)
    assert {pair.index(train.OURS) for pair in pairs} == {0, 1}
    assert [row.side for row in rows] == [side for side in train.SIDES if side != train.OURS]
    assert all(row.ratios == [2.0, 2.0] for row in rows)


@pytest.mark.slow
def test_shares_of_the_time_add_up(small: Task) -> None:
    found = shares(ours.Ours("natural", small))
    assert set(found) == set(PARTS)
    assert all(0 <= share <= 1 for share in found.values())
    assert sum(found.values()) == pytest.approx(1, abs=0.05)
    assert found["convolution"] > 0.1
