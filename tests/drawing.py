"""Figures laid out but not painted: all of their text is read, in a fraction of the time."""

import contextlib
from collections.abc import Iterator
from unittest import mock

from robench.reporting.charts import drawing, font, paper
from robench.reporting.charts.chart import Figure
from robench.reporting.charts.look import Look

_KNOWN: set[str] = set()
"""What has been laid out before is not laid out again: most reports of tests show the same."""


def _lay_out(figure: Figure, look: Look) -> bytes:
    shown = paper.digested(figure, look, "")
    if shown not in _KNOWN:
        with drawing.styled(figure):
            drawing.laid_out(figure, look).draw_without_rendering()
        _KNOWN.add(shown)
    return b""


@contextlib.contextmanager
def quickly_drawn() -> Iterator[None]:
    """While it holds, saving a figure only lays it out."""
    with (
        mock.patch.object(font, "of", return_value=["DejaVu Sans"]),  # no time to cut it
        mock.patch.object(paper, "page", _lay_out),
        mock.patch.object(paper, "pixels", return_value=b""),
    ):
        yield
