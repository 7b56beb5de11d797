"""A small cut of matplotlib's own font.

Papers want TrueType fonts in their figures, and matplotlib makes a subset of the font for each PDF,
in Python. Of DejaVu Sans that takes longer than all the drawing; of a cut without its layout tables
and most of its 6,000 glyphs it takes next to nothing.
"""

import atexit
import tempfile
from functools import cache
from pathlib import Path

from matplotlib import font_manager

FAMILY = "robench"

_KEPT = {*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2010, 0x2050), 0x2020, 0x2021, 0x2212}
"""Latin and Greek letters, dashes, daggers and the minus sign; others come from the whole font."""

_LAYOUT = {"GSUB", "GPOS", "GDEF", "kern", "FFTM"}
"""Tables that place letters by their neighbours: much to read, for little to see."""


def of(words: str) -> list[str]:
    """For ``font.family``: the cut, and the whole font where the cut lacks a letter."""
    enough = all(ord(letter) in _KEPT for letter in set(words))
    return [_added()] if enough else [_added(), "DejaVu Sans"]


@cache
def _added() -> str:
    """The cut's name, once matplotlib knows it."""
    whole = Path(font_manager.findfont("DejaVu Sans"))
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    cut = Path(folder.name) / f"{FAMILY}.ttf"
    _cut(whole, cut)
    font_manager.fontManager.addfont(cut)
    return FAMILY


def _cut(whole: Path, to: Path) -> None:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    with TTFont(whole) as font:
        for layout in _LAYOUT & set(font.keys()):
            del font[layout]
        cutter = subset.Subsetter(subset.Options(hinting=False, notdef_outline=True))
        cutter.populate(unicodes=_KEPT)
        cutter.subset(font)
        for record in font["name"].names:
            record.string = FAMILY
        font.save(to)
