"""Figures laid out but not painted: all of their text is read, in a fraction of the time."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from matplotlib.figure import Figure

from robench.reporting.charts import font


def _lay_out(figure: Figure, target: Any, *, format: str, **_: Any) -> None:
    if format == "pdf":  # once is enough
        figure.draw_without_rendering()


@contextlib.contextmanager
def quickly_drawn() -> Iterator[None]:
    """While it holds, saving a figure only lays it out."""
    whole = mock.patch.object(font, "families", return_value=["DejaVu Sans"])  # no time to cut it
    with whole, mock.patch.object(Figure, "savefig", _lay_out):
        yield
