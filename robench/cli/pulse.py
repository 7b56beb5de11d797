"""A sign of life where nothing moves: a line a minute, as long as nothing else is said."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from robench.events import Attacked, Epoch, Evaluating, Event, Finished, Tell, Training, Working

PERIOD = 50.0
"""Seconds of silence before a sign of life."""


@contextmanager
def pulsing(say: Tell) -> Iterator[Tell]:
    """Say events, and in long silences that work goes on, and how far it is."""
    cells, over, lock = dict[str, str](), threading.Event(), threading.Lock()
    began = last = time.monotonic()

    def tell(event: Event) -> None:
        nonlocal last
        with lock:
            _follow(cells, event)
            say(event)
            last = time.monotonic()

    def beat() -> None:
        nonlocal last
        while not over.wait(PERIOD / 50):
            with lock:
                if time.monotonic() - last >= PERIOD:
                    say(Working(dict(cells), (time.monotonic() - began) / 60))
                    last = time.monotonic()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield tell
    finally:
        over.set()
        thread.join()


def _follow(cells: dict[str, str], event: Event) -> None:
    """Keep what is known of each cell that is worked on."""
    match event:
        case Training() | Evaluating():
            cells[event.cell] = "begins"
        case Epoch():
            cells[event.cell] = f"epoch {event.epoch}/{event.epochs}"
        case Attacked():
            cells[event.cell] = f"{event.attack} at {event.eps}, {event.seen}/{event.images} images"
        case Finished():
            cells.pop(event.cell, None)
