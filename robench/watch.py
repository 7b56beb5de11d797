"""How work is watched over: whom it tells, how often it saves, and whether it should stop."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from robench.errors import Stopped
from robench.events import Event, Tell


@dataclass
class Watch:
    """One for all the work of a process."""

    listener: Tell
    save_every: float = 600.0
    """Seconds from one save to the next within an epoch or an attack."""
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    """Tells this run from others: records and events carry it."""
    asked: int = 0
    """The signal by which it was asked to stop."""
    leaving: Callable[[], None] = field(default=lambda: None)
    """What is done when it is asked a second time, just before it leaves at once."""
    log: Tell | None = None
    """Hears of the present cell's events as well."""
    check_lock: Callable[..., None] = field(default=lambda now=False: None)
    """Raises when the present cell is no longer this process's to write."""

    def tell(self, event: Event) -> None:
        """Say what happened."""
        if self.log is not None:
            self.log(event)
        self.listener(event)

    @contextmanager
    def over(self, log: Tell, check_lock: Callable[..., None]) -> Iterator[None]:
        """Watch over a cell: its log and its lock take the place of those around it."""
        before, self.log, self.check_lock = (self.log, self.check_lock), log, check_lock
        try:
            yield
        finally:
            self.log, self.check_lock = before

    def check(self) -> None:
        """Raise when the work should stop here, where there is nothing to save."""
        if self.asked:
            raise Stopped(self.asked)


@contextmanager
def stoppable(watch: Watch, *signals: signal.Signals) -> Iterator[None]:
    """These signals ask to stop at the end of a step; a second one leaves at once."""

    def ask(number: int, _: FrameType | None) -> None:
        if watch.asked:
            watch.leaving()
            _leave(128 + number)
        watch.asked = number
        if sys.stderr.isatty():  # by the system, not by a stream that may be in the midst of a line
            os.write(2, b"\nfinishing the step and saving; once more leaves at once\n")

    before = {number: signal.signal(number, ask) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(code: int) -> None:
    """Without another word: all that was saved is in whole files."""
    if sys.stderr.isatty():
        os.write(2, b"\033[?25h\n")  # the cursor, which a live display hides
    os._exit(code)
