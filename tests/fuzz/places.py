"""Results folders with curves of training and files that should not be there."""

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.mutations import Patch, odd_numbers, odd_texts, patched, patches
from tests.fuzz.records import COMMANDS, KINDS, Command, at
from tests.fuzz.sandbox import LOCAL, call, judged, put, sandbox


@dataclass(frozen=True)
class Curve:
    """A train.csv: other cells, then other bytes."""

    cells: tuple[tuple[int, int, str], ...] = ()
    """Row, column, content; row 0 is the header."""
    patches: tuple[Patch, ...] = ()
    repeated: int = 1
    """So many times the last row."""


def curves() -> st.SearchStrategy[Curve]:
    """Strange names, numbers and bytes."""
    content = odd_texts() | odd_numbers().map(str)
    cell = st.tuples(st.integers(0, 2), st.integers(0, 12), content)
    return st.builds(
        Curve,
        st.lists(cell, max_size=3).map(tuple),
        patches() | st.just(()) | st.just(()),
        st.sampled_from([1, 1, 1, 0, 3]),
    )


def try_curve(curve: Curve) -> int:
    """A report of it, and a look at how far it is."""
    with sandbox():
        path = at("train.csv")
        head, *body = [line.split(",") for line in path.read_text().splitlines()]
        head, body = [*head, "share/a", "share/b"], [[*row, "0.5", "0.25"] for row in body]
        rows = [head, *body, *(body[-1:] * curve.repeated)]
        for row, column, content in curve.cells:
            if row < len(rows):
                rows[row][column % len(head)] = content
        text = "\n".join(",".join(row) for row in rows) + "\n"
        path.write_bytes(patched(text.encode("utf-8", "surrogatepass"), curve.patches))
        judged(call("status"))
        return judged(call("report"))


@dataclass(frozen=True)
class Strange:
    """Something where it should not be, below a results folder."""

    path: str
    what: str
    """``file``, ``folder``, ``pipe``, ``loop`` (a link to itself), ``device`` or ``gone``."""
    content: bytes = b""
    command: Command = "report"


_PLACES = (
    "cells", "cells/CELL", "cells/CELL/cell.json", "cells/CELL/train.csv", "cells/CELL/eval",
    "cells/CELL/best.safetensors", "cells/CELL/.lock", "cells/CELL/eval/EVAL.json", "grid.toml",
    "cells/CELL/eval/EVAL.npz", "cells/CELL/eval/other.json", "cells/other",
    "cells/other/cell.json", "cells/\udcff", "cells/\udcff/cell.json", "cells/\x1b[31m/cell.json",
    "cells/CELL/eval/\udcff.json", "grids", "grids/GRID.json", "grids/other.json",
    "grids/GRID.toml", "results.csv", ".tables.lock", "report", "report/report.md",
    "report/figures", "report/tables/claims.md", "epochs.csv",
)  # fmt: skip


def stranges() -> st.SearchStrategy[Strange]:
    """Every file of a results folder in every wrong form."""
    contents = [b"", b"{}", b"[]", b'{"a": 1}', b'{"a": [[1], {}]}', b"[" * 3000, b"\xff", b"null",
                b'{"\\ud800": ["\\ud800", 1]}', b'{"a": ["../../x"]}']  # fmt: skip
    return st.builds(
        Strange,
        st.sampled_from(_PLACES),
        st.sampled_from(["file", "file", "folder", "pipe", "loop", "device", "gone"]),
        st.sampled_from(contents) | st.binary(max_size=20),
        st.sampled_from([*["status", "report", "run"] * 5, "again"]),
    )


def try_strange(strange: Strange) -> int:
    """Put it there and look at the folder."""
    with sandbox():
        cell = at("cell.json").parent
        names = {"CELL": cell.name, "EVAL": at(KINDS[1]).stem,
                 "GRID": sorted((LOCAL / "grids").glob("*.json"))[0].stem}  # fmt: skip
        path = str(LOCAL / strange.path)
        for name, value in names.items():
            path = path.replace(name, value)
        put(Path(path), strange.what, strange.content)
        return judged(call(*COMMANDS[strange.command]))
