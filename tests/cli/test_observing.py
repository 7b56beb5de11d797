"""What can be seen of a run from outside: events, logs, signs of life, stalled cells."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.cli import pulse
from robench.cli.pulse import pulsing
from robench.events import (
    Attacked,
    Epoch,
    Evaluating,
    Event,
    Finished,
    Started,
    Training,
    Warned,
    Working,
    from_plain,
    to_plain,
)
from robench.store.locks import LEASE, Lock
from robench.store.log import log_to, read_log
from tests.cli.grids import QUICK, Robench

numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**40)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Started, counts, counts, counts),
    st.builds(Training, st.text(), st.text(), counts),
    st.builds(
        Epoch, st.text(), counts, counts, st.text(), numbers, numbers, st.none() | numbers,
        st.none() | numbers, numbers, counts, counts, st.dictionaries(st.text(), numbers),
    ),
    st.builds(Evaluating, st.text(), st.text(), counts),
    st.builds(Attacked, st.text(), st.text(), st.text(), st.none() | counts, counts, counts),
    st.builds(Finished, st.text(), st.text(), st.text(), st.text(), numbers, counts, st.text()),
    st.builds(Warned, st.text()),
    st.builds(Working, st.dictionaries(st.text(), st.text()), numbers),
)  # fmt: skip


@given(EVENTS)
def test_events_come_back_from_json(event: Event) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(event)))) == event


def test_a_loss_that_is_no_number_comes_back_as_none() -> None:
    event = Epoch("a", 1, 2, "train", 0.1, math.nan, None, None, 1.0, 3, 3, {})
    said = json.loads(json.dumps(to_plain(event), allow_nan=False))
    back = from_plain(said)
    assert isinstance(back, Epoch)
    assert math.isnan(back.loss)


@pytest.mark.parametrize("said", [{}, {"event": "party"}, {"event": "epoch"}, {"event": 3}])
def test_what_is_no_event_is_none(said: dict[str, object]) -> None:
    assert from_plain(said) is None


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log_to(path, "a")(Warned("one"))
    with path.open("a") as file:
        file.write('{"event": "warn')  # killed here
    lines, at = read_log(path)
    assert [line["text"] for line in lines] == ["one"]
    log_to(path, "b")(Warned("two"))
    more, _ = read_log(path, at)
    assert [(line["run"], line["text"]) for line in more] == [("b", "two")]


def test_every_event_of_a_cell_is_in_its_log(robench: Robench) -> None:
    done = robench("run", "-m", "natural", *QUICK, "--json")
    told = [json.loads(line) for line in done.err.splitlines()]
    (path,) = Path("results/local/cells").glob("*/events.jsonl")
    lines, _ = read_log(path)
    logged = [{k: v for k, v in line.items() if k not in ("time", "run")} for line in lines]
    assert logged == [event for event in told if event["event"] != "started"]


def test_a_silence_is_broken_by_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "PERIOD", 0.2)
    said: list[Event] = []
    with pulsing(said.append) as tell:
        tell(Training("a cell", "madry seed 0", 9))
        tell(Epoch("a cell", 3, 9, "train", 0.1, 1.0, None, None, 1.0, 3, 3, {}))
        time.sleep(1)
    signs = [event for event in said if isinstance(event, Working)]
    assert 1 <= len(signs) <= 5
    assert signs[0].cells == {"a cell": "epoch 3/9"}


def test_what_speaks_needs_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "PERIOD", 5.0)
    said: list[Event] = []
    with pulsing(said.append) as tell:
        tell(Warned("a"))
    assert said == [Warned("a")]


def test_status_tells_running_from_stalled_from_interrupted(
    robench: Robench, mood: Callable[[str], None]
) -> None:
    mood("interrupt")
    robench("run", "-m", "natural,crashing", *QUICK)
    (cell,) = Path("results/local/cells").glob("crashing-*")
    assert f"interrupted: epoch 0, {cell.relative_to('.')}" in robench("status").out
    with Lock(cell / ".lock").held():
        assert f"running: epoch 0, {cell}" in robench("status").out
        long_ago = time.time() - LEASE - 600
        os.utime(cell / ".lock.lease", (long_ago, long_ago))
        assert "stalled: no sign of life for 12 minutes, epoch 0, " in robench("status").out


def test_status_says_how_long_the_rest_takes(robench: Robench, mood: Callable[[str], None]) -> None:
    mood("interrupt")
    assert robench("run", "-m", "natural,crashing", "--seeds", "0-1", *QUICK).code == 130
    assert "left " not in robench("status").out  # nothing like it was ever done
    robench("run", "-m", "natural", "--seeds", "0-1", *QUICK)
    mood("well")
    robench("run", "-m", "crashing", *QUICK)
    assert "left         about " in robench("status").out
