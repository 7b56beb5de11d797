"""A cell's events as a file: one JSON object a line, for whoever looks on from outside."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robench.events import Event, Tell, to_plain


def log_to(path: Path, run: str) -> Tell:
    """Appends events to a file; each line says when, and by which run.

    That a line cannot be written is no harm: nothing depends on it.
    """
    _end_last_line(path)

    def tell(event: Event) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "run": run, **to_plain(event)}, allow_nan=False)
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:
            return

    return tell


def read_log(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Whole lines from a position on, and where the next ones will begin; torn ones are left out.

    A file that is not there has none.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read()
    except OSError:
        return [], start
    whole = content[: content.rfind(b"\n") + 1]
    return list(_parsed(whole)), start + len(whole)


def _parsed(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield said


def _end_last_line(path: Path) -> None:
    """What a killed process wrote in part does not spoil the next line."""
    try:
        if path.is_file() and not path.read_bytes().endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")
    except OSError:
        return
