"""States as files: named by their content, trusted only as their record says."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from robench import saving
from robench.errors import Stopped, WriteError
from robench.events import Event, Warned
from robench.saving import Saver
from robench.store import files
from robench.store.cell import PROTOCOL, Cell
from robench.store.records import read_record
from robench.training.recipe import Recipe
from robench.watch import Watch

STATE = {"weights": torch.arange(5.0), "epoch": 3}


class Kept:
    """A cell's record in a folder, and what was told."""

    def __init__(self, folder: Path, save_every: float = 600.0) -> None:
        self.told: list[Event] = []
        self.watch = Watch(self.told.append, save_every)
        cell = Cell(
            method="madry", plugin="", settings={}, recipe=Recipe(), dataset="digits", data="",
            train_limit=None, model="digitscnn", norm="Linf", eps=Fraction(3, 16), seed=0,
        )  # fmt: skip
        self.path = folder / cell.name / "cell.json"
        self.record: dict[str, Any] = {
            "protocol": PROTOCOL, "key": cell.key, "identity": cell.identity, "status": "running",
            "reason": "", "started": "", "environment": {"device": "cpu", "torch": "2"},
            "label": "madry", "changes": {}, "deviates": "", "select_on": "robust", "shared": {},
        }  # fmt: skip

    def saver(self, before: Any = None) -> Saver:
        return Saver(self.path, self.record, self.watch, before)

    def states(self) -> list[Path]:
        return sorted(self.path.parent.glob("*.pt"))

    def said(self) -> list[str]:
        return [event.text for event in self.told if isinstance(event, Warned)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def again(kept: Kept) -> Saver:
    """As the next process finds it."""
    before = read_record(kept.path)
    kept.record = {name: value for name, value in before.items() if name != "saved"}
    return kept.saver(before)


def test_what_was_saved_comes_back(kept: Kept) -> None:
    kept.saver().ended(lambda: STATE)
    state = again(kept).load()
    assert state is not None
    assert torch.equal(state["weights"], STATE["weights"])  # type: ignore[arg-type]
    assert state["epoch"] == 3


def test_a_newer_state_takes_the_place_of_the_older(kept: Kept) -> None:
    saver = kept.saver()
    saver.ended(lambda: STATE)
    (first,) = kept.states()
    saver._cost = 0.0
    saver.ended(lambda: STATE | {"epoch": 4})
    (second,) = kept.states()
    assert first != second
    assert read_record(kept.path)["saved"]["file"] == second.name


@pytest.mark.parametrize("moment", ["file", "record", "sweep"])
def test_a_death_at_any_moment_leaves_one_whole_state(
    moment: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.saver().ended(lambda: STATE)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    where = {"file": "write", "record": "write_record", "sweep": "remove"}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(saving, where, die)
        with pytest.raises(KeyboardInterrupt):
            again(kept).ended(lambda: STATE | {"epoch": 4})
    state = again(kept).load()
    assert state is not None
    assert state["epoch"] == (4 if moment == "sweep" else 3)


def test_a_damaged_state_is_named_moved_aside_and_not_used(kept: Kept) -> None:
    kept.saver().ended(lambda: STATE)
    (file,) = kept.states()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert again(kept).load() is None
    assert f"{file} is missing or damaged" in kept.said()[0]
    assert "begun again" in kept.said()[0]
    assert (file.parent / "damaged" / file.name).read_bytes() == content


def test_a_state_of_another_version_is_not_used(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.saver().ended(lambda: STATE)
    monkeypatch.setattr(saving, "FORMAT", saving.FORMAT + 1)
    assert again(kept).load() is None
    assert "saved by another version of robench" in kept.said()[0]


def test_between_steps_it_saves_when_it_is_time(tmp_path: Path) -> None:
    patient, eager = Kept(tmp_path / "a"), Kept(tmp_path / "b", save_every=0.0)
    patient.saver().between(lambda: STATE)
    eager.saver().between(lambda: STATE)
    assert (len(patient.states()), len(eager.states())) == (0, 1)


def test_asked_to_stop_it_saves_first(kept: Kept) -> None:
    kept.watch.asked = 15
    with pytest.raises(Stopped) as stop:
        kept.saver().between(lambda: STATE)
    assert stop.value.exit_code == 143
    assert again(kept).load() is not None


def test_a_full_disk_is_said_and_the_work_goes_on(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.saver().ended(lambda: STATE)

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", no_space)
        patch.setattr(files, "WAITS", (0.0,))
        again(kept).ended(lambda: STATE | {"epoch": 4})
    assert "No space left on device; goes on without having saved" in kept.said()[0]
    state = again(kept).load()
    assert state is not None
    assert state["epoch"] == 3
    assert not list(kept.path.parent.glob("*.tmp"))


def test_who_lost_the_lock_writes_no_more(kept: Kept) -> None:
    def lost(*, now: bool = False) -> None:
        raise WriteError("the lock was lost")

    kept.watch.check_lock = lost
    saver = kept.saver()
    with pytest.raises(WriteError, match="lost"):
        saver.ended(lambda: STATE)
    with pytest.raises(WriteError, match="lost"):
        saver.close()
    assert not kept.path.exists()


def test_only_what_ended_well_needs_no_state(kept: Kept) -> None:
    saver = kept.saver()
    saver.ended(lambda: STATE)
    kept.record |= {"status": "failed", "reason": "out of luck"}
    saver.close()
    assert len(kept.states()) == 1
    whole = {"epoch": 1, "sha256": ""}
    kept.record |= {"status": "ok", "checkpoints": {"best": whole, "last": whole}, "troubles": []}
    saver.close()
    assert not kept.states()
    assert "saved" not in read_record(kept.path)
