"""Records of cells and evaluations: changed, with and without a right seal."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from hypothesis import strategies as st

from robench.store.cell import cell_name, evaluation_name
from robench.store.files import digest
from robench.store.records import SEAL
from tests.cli.grids import QUICK
from tests.fuzz.mutations import Edit, Patch, as_json, edited, edits, patched, patches
from tests.fuzz.sandbox import LOCAL, Answer, Fault, base, call, judged, sandbox

Command = Literal["status", "report", "run", "again", "audit"]

_GRID = ("-m", "natural,madry", "--suite", "quick", *QUICK, "--eps", "1/16,3/16")

COMMANDS: dict[Command, tuple[str, ...]] = {
    "status": ("status",),
    "report": ("report",),
    "run": ("run", "--plan", *_GRID),
    "again": ("run", *_GRID),
    "audit": ("audit", "--suite", "quick", "--images", "1"),
}  # fmt: skip

KINDS = ("cell.json", "eval/best-quick-Linf-3_16-*.json", "eval/best-detect-*.json")
"""Files of the first cell, natural's."""


def at(kind: str) -> Path:
    return sorted((LOCAL / "cells").glob(f"natural-*/{kind}"))[0]


@cache
def valid_records() -> dict[str, Any]:
    cells = base() / LOCAL / "cells"
    return {
        kind: json.loads(sorted(cells.glob(f"natural-*/{kind}"))[0].read_text()) for kind in KINDS
    }


@dataclass(frozen=True)
class Record:
    """A record with changes: sealed again, or not."""

    kind: str
    edits: tuple[Edit, ...] = ()
    patches: tuple[Patch, ...] = ()
    """Of its bytes."""
    sealed: bool = True
    keyed: bool = False
    """With the key that its identity, as changed, has; and a file name that goes with it."""
    command: Command = "report"


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Mostly sealed again: an unsealed one is not looked into."""
    kind = draw(st.sampled_from(KINDS))
    bare = draw(st.integers(0, 9)) == 0
    return Record(
        kind,
        draw(st.deferred(lambda: edits(valid_records()[kind]))),
        draw(patches()) if bare else (),
        not bare and draw(st.integers(0, 9)) > 0,
        draw(st.booleans()),
        draw(st.sampled_from([*["status", "report", "run"] * 5, "again"])),
    )


def try_record(record: Record) -> int:
    """Nothing but a sealed record is believed, and of it nothing that cannot be."""
    with sandbox():
        path = at(record.kind)
        before = path.read_bytes()
        content = edited(json.loads(before), record.edits)
        path = rewrite(path, content, keyed=record.keyed, seal=record.sealed)
        data = patched(path.read_bytes(), record.patches)
        path.write_bytes(data)
        answer = call(*COMMANDS[record.command])
        code = judged(answer)
        check_table()
        looked_at = record.command in ("status", "report")
        if not record.sealed and looked_at and not _same(before, data):
            _check_said(record, answer)
        return code


def rewrite(path: Path, content: Any, *, keyed: bool, seal: bool = True) -> Path:
    """Write a record as it is, with the key and the name that its identity makes, and a seal."""
    with suppress(ValueError, RecursionError, TypeError, LookupError):
        if keyed:
            content["key"] = digest(content["identity"])
            path = _renamed(path, content)
    with suppress(ValueError, RecursionError, TypeError):
        if seal:
            content[SEAL] = digest({k: v for k, v in content.items() if k != SEAL})
    path.write_bytes(as_json(content))
    return path


def _check_said(record: Record, answer: Answer) -> None:
    if record.command == "status" and answer.code != 1:
        raise Fault("a record without a right seal is not counted as damaged")
    words = ("not used", "cannot be read", "holds no JSON object")
    if not any(word in answer.text for word in words):
        raise Fault(f"nothing is said of a record without a right seal: {answer.text}")


def _renamed(path: Path, content: dict[str, Any]) -> Path:
    """The record's file, or its cell's folder, under the name that goes with its key.

    A cell's evaluations go with it: a whole foreign cell, with odd things in its identity.
    """
    key, identity = content["key"], content["identity"]
    try:
        if path.name == "cell.json":
            folder = _moved(path.parent, cell_name(identity, key), key[:8])
            for evaluation in sorted((folder / "eval").glob("*.json")):
                of = json.loads(evaluation.read_bytes())
                of["identity"]["cell"], of["cell"] = key, folder.name
                of["key"] = digest(of["identity"])
                rewrite(_renamed(evaluation, of), of, keyed=False)
            return folder / path.name
        new = _moved(path, f"{evaluation_name(identity, key)}.json", f"{key[:8]}.json")
        path.with_suffix(".npz").rename(new.with_suffix(".npz"))
        return new
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return path


def _moved(path: Path, name: str, otherwise: str) -> Path:
    """Under another name; under the second one when no file can have the first."""
    try:
        return path.rename(path.with_name(name))
    except (OSError, ValueError):
        return path.rename(path.with_name(otherwise))


def _same(before: bytes, after: bytes) -> bool:
    try:
        return bool(json.loads(before) == json.loads(after))
    except (ValueError, RecursionError):
        return False


def check_table() -> None:
    """Whatever is in the table is an accuracy."""
    path = LOCAL / "results.csv"
    if not path.is_file():
        return
    table = pd.read_csv(path)
    for name in ("natural_accuracy", "robust_accuracy"):
        if not table[name].dropna().between(0, 1).all():
            raise Fault(f"{name} is not in [0, 1]")
