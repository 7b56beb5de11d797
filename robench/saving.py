"""What a cell's training or an evaluation goes on from, as files.

A state is a file named by its content, and the record says which one counts: first the file is
written, then the record, then older files go. Whatever moment a process dies at, the record points
to a whole state or to none.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from robench.errors import Stopped, StoreError, WriteError
from robench.events import Warned
from robench.keeping import State
from robench.settings import Plain
from robench.store.files import remove, write
from robench.store.records import check_weights, set_aside, write_record
from robench.training.checkpoint import pack_state, unpack_state
from robench.watch import Watch

FORMAT = 1
"""Counts up when a state of before can no longer be gone on from."""

SHARE = 10
"""A save at the end of a part is put off until this many times its own duration has gone by."""


class Saver:
    """Keeps the state of one training or evaluation, while its cell's lock is held."""

    def __init__(self, path: Path, record: Plain, watch: Watch, before: Plain | None) -> None:
        self._path, self._record, self._watch = path, record, watch
        self._saved, self._cost = time.monotonic(), 0.0
        if before is not None and "saved" in before:
            record["saved"] = before["saved"]

    def load(self) -> State | None:
        """The state that the record speaks of; one that is damaged is named, and not used."""
        if "saved" not in self._record:
            return None
        saved = self._record["saved"]
        file = self._path.with_name(Path(saved["file"]).name)
        try:
            if saved["format"] != FORMAT:
                raise StoreError(f"{file} was saved by another version of robench")
            check_weights(file, saved["sha256"])
            return unpack_state(file.read_bytes())
        except StoreError as error:
            self._watch.tell(Warned(f"{error}; begun again"))
            del self._record["saved"]
            if file.is_file():
                set_aside(file)
            return None

    def between(self, state: Callable[[], State]) -> None:
        """Between two steps: save when it is time to, or when the work is to stop."""
        self._watch.check_lock()
        if self._watch.asked or time.monotonic() - self._saved >= self._watch.save_every:
            self._save(state)

    def ended(self, state: Callable[[], State]) -> None:
        """At the end of an epoch or an attack, save, unless that would be most of the work."""
        self._watch.check_lock()
        if self._watch.asked or time.monotonic() - self._saved >= SHARE * self._cost:
            self._save(state)

    def close(self) -> None:
        """Write the record for good; a state stays only with what did not end well."""
        self._watch.check_lock(now=True)
        ended_well = self._record["status"] == "ok"
        if ended_well:
            self._record.pop("saved", None)
        write_record(self._path, self._record)
        if ended_well:
            self._sweep(keep="")

    def _save(self, state: Callable[[], State]) -> None:
        began = time.monotonic()
        content = pack_state(state())
        sha256 = hashlib.sha256(content).hexdigest()
        file = self._path.with_name(f"{self._path.stem}.state-{sha256[:16]}.pt")
        self._watch.check_lock(now=True)
        try:
            write(file, content)
            said = {"file": file.name, "sha256": sha256, "bytes": len(content), "format": FORMAT}
            self._record["saved"] = said
            write_record(self._path, self._record)
            self._sweep(keep=file.name)
        except WriteError as error:
            self._watch.tell(Warned(f"{error}; goes on without having saved"))
        self._saved = time.monotonic()
        self._cost = self._saved - began
        if self._watch.asked:
            raise Stopped(self._watch.asked)

    def _sweep(self, keep: str) -> None:
        for file in self._path.parent.glob(f"{self._path.stem}.state-*.pt"):
            if file.name != keep:
                remove(file)
