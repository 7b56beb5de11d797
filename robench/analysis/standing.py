"""How far a results folder is, from its files alone: what runs, what stalls, how long it takes."""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from robench.errors import StoreError
from robench.evaluation.stored import read_any
from robench.events import Attacked, Epoch, from_plain
from robench.settings import Plain
from robench.store.asked import asked
from robench.store.locks import LEASE, heartbeat
from robench.store.log import read_log
from robench.store.records import CellFolder, cell_folders

BAD = ("failed", "diverged", "damaged")


@dataclass
class Standing:
    """Counts by status, and lines about what a person should know."""

    trainings: Counter[str] = field(default_factory=Counter)
    evaluations: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    working: int = 0
    """Cells that somebody is at now."""
    spent: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of what is done, by method or suite."""
    missing: Counter[str] = field(default_factory=Counter)
    """What is not done, by method or suite."""

    @property
    def is_bad(self) -> bool:
        """Whether anything failed."""
        return any((self.trainings + self.evaluations)[name] for name in BAD)

    @property
    def seconds_left(self) -> float | None:
        """Work that is left, if something like each part of it was done; none: unknown."""
        if not self.missing or not all(self.spent.get(kind) for kind in self.missing):
            return None
        each = {kind: statistics.fmean(self.spent[kind]) for kind in self.missing}
        return sum(count * each[kind] for kind, count in self.missing.items())


def standing(results: Path) -> Standing:
    """Look at every cell that is there, and at every one that some grid asked for."""
    wanted, problems = asked(results)
    found = Standing(lines=problems)
    begun = {cell.path.name for cell in cell_folders(results)}
    for name in sorted(wanted.keys() | begun):
        cell = CellFolder(results / "cells" / name)
        record = _record(cell.record, found) if name in begun else {"status": "waiting"}
        status = str(record["status"])
        found.trainings[status] += 1
        _count(found, f"method {_method(name)}", record)
        there = {path.stem: _record(path, found) for path in cell.evaluations()}
        for evaluation, one in there.items():
            found.evaluations[str(one["status"])] += 1
            _count(found, f"suite {_suite(evaluation)}", one)
        if status not in BAD:
            for evaluation in wanted.get(name, set()) - there.keys():
                found.evaluations["waiting"] += 1
                _count(found, f"suite {_suite(evaluation)}", {"status": "waiting"})
        if "running" in (status, *(one["status"] for one in there.values())):
            found.lines.append(_at_work(cell, found))
    return found


def _count(found: Standing, kind: str, record: Plain) -> None:
    """A part is done, and what it cost is known; or it is still to do; or it failed."""
    if record["status"] in ("waiting", "running"):
        found.missing[kind] += 1
    elif record["status"] == "ok":
        found.spent[kind].append(float(record.get("seconds", 0.0)))


def _at_work(cell: CellFolder, found: Standing) -> str:
    """A line about a cell that was begun and is not done."""
    silent, where = heartbeat(cell.lock), f"{_progress(cell)} {cell.path}"
    if silent is None:
        return f"interrupted: {where}"
    if silent > LEASE:
        return f"stalled: no sign of life for {silent / 60:.0f} minutes, {where}"
    found.working += 1
    return f"running: {where}"


def _progress(cell: CellFolder) -> str:
    """How far the last one who worked on it came."""
    lines, _ = read_log(cell.events)
    events = [event for line in lines[-50:] if (event := from_plain(line)) is not None]
    for event in reversed(events):
        if isinstance(event, Epoch):
            left = (event.epochs - event.epoch) * event.seconds
            return f"epoch {event.epoch}/{event.epochs}, {duration(left)} of training left,"
        if isinstance(event, Attacked):
            return f"{event.attack} at {event.eps}, {event.seen}/{event.images} images,"
    return "epoch 0,"


def duration(seconds: float) -> str:
    """In the unit that a person would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _record(path: Path, found: Standing) -> Plain:
    """A record; what is wrong with it is added to the lines."""
    try:
        record = read_any(path)
    except StoreError as error:
        found.lines.append(str(error))
        return {"status": "damaged"}
    if record["status"] in BAD:
        found.lines.append(f"{record['status']}: {path}: {record['reason']}")
    return record


def _method(cell: str) -> str:
    return cell.partition("-")[0]


def _suite(evaluation: str) -> str:
    return "-".join(evaluation.split("-")[1:2])
