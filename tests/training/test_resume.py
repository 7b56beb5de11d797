"""A training that was stopped anywhere and taken up again ends as if nothing had been."""

import math
from dataclasses import asdict, replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from robench import plugins
from robench.check import tiny
from robench.check.capped import capped
from robench.data.load import Data
from robench.errors import StoreError
from robench.events import Epoch, Event
from robench.models.classifier import Network
from robench.settings import change
from robench.threat import Threat
from robench.training.checkpoint import unpack_state
from robench.training.method import Method, method
from robench.training.recipe import Recipe
from robench.training.train import Checkpoint, Trained, train
from tests.mortal import Killed, Mortal

THREAT = Threat("Linf", float(tiny.FACTS.eps["Linf"]))
RECIPE = replace(
    tiny.RECIPE, epochs=3, validate_every=1, validation_steps=2, batch_size=16, augment="crop-flip",
    pad=1,
)  # fmt: skip
IMAGES = 44
STEPS = 3
"""Of an epoch; the last batch is a smaller one."""


def fit(
    chosen: Method, keeper: Mortal | None, recipe: Recipe = RECIPE
) -> tuple[Trained, list[Event]]:
    events: list[Event] = []

    def started() -> Network:
        return tiny.classifier()

    data = tiny.data(train=IMAGES, validation=32)
    return train(chosen, started, data, recipe, THREAT, 7, events.append, "", keeper), events


def short(name: str) -> Method:
    """A method with attacks of two steps, which are enough to draw and to hold something."""
    chosen: Method = capped(method(name, "*"), {"steps": 2})
    return chosen


def three_epochs(chosen: Method) -> Recipe:
    """Or more: of a method whose stages take a share of the epochs, as many as others have."""
    share = sum(stage.share for stage in chosen.stages())
    return replace(RECIPE, epochs=math.ceil(RECIPE.epochs / min(share, 1)))


@cache
def undisturbed(name: str) -> tuple[Trained, list[Event]]:
    chosen = short(name)
    return fit(chosen, None, three_epochs(chosen))


def interrupted(
    chosen: Method, saves: int, dies: int, recipe: Recipe = RECIPE
) -> tuple[Trained, list[Event]]:
    """Train, save, die, and train again from what was saved."""
    first = Mortal(saves, dies)
    with pytest.raises(Killed):
        fit(chosen, first, recipe)
    torch.rand(11)  # the next process begins somewhere else
    return fit(chosen, Mortal(kept=first.kept), recipe)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    named = a.tensors.keys() == b.tensors.keys()
    equal = all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
    return named and equal and (a.epoch, a.validation) == (b.epoch, b.validation)


def told(events: list[Event], last: int) -> list[dict[str, object]]:
    """What the last epochs said, but for their seconds."""
    rows = [asdict(event) for event in events if isinstance(event, Epoch)][-last:]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("name", sorted(plugins.find("methods")))
@pytest.mark.parametrize("saves", [2, 2 * STEPS])  # within an epoch, at the end of one
def test_every_method_goes_on_bit_for_bit(name: str, saves: int) -> None:
    chosen = short(name)
    whole, events = undisturbed(name)
    again, later = interrupted(chosen, saves, saves + 2, three_epochs(chosen))
    assert same(whole.last, again.last)
    assert same(whole.best, again.best)
    assert whole.troubles == again.troubles
    rows = told(later, 99)
    assert rows == told(events, len(rows))
    assert len(rows) == len(told(events, 99)) - saves // STEPS


@given(saves=st.integers(1, 3 * STEPS - 1), more=st.integers(0, 5))
@hypothesis_settings(max_examples=8)
def test_any_moment_will_do(saves: int, more: int) -> None:
    recipe = replace(RECIPE, ema=0.9, optimizer="adam", lr=1e-3, schedule="cyclic")
    chosen = change("madry", method("madry"), {"attack.steps": 1})
    whole, _ = fit(chosen, None, recipe)
    again, _ = interrupted(chosen, saves, min(saves + more, 3 * STEPS - 1), recipe)
    assert same(whole.last, again.last)
    assert same(whole.best, again.best)


def test_numpy_and_python_draw_on_where_they_were(data: Data) -> None:
    from tests.training.drawing import Drawing

    whole, _ = fit(Drawing(), None)
    again, _ = interrupted(Drawing(), 4, 5)
    assert same(whole.last, again.last)


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04" + bytes(64)])
def test_what_is_no_state_is_named(content: bytes) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        unpack_state(content)
