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

_KEPT = [*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2010, 0x2050), 0x2020, 0x2021, 0x2212]
"""Latin and Greek letters, dashes, daggers and the minus sign; others come from the whole font."""


@cache
def families() -> list[str]:
    """For ``font.family``: the cut, then the whole font for what the cut does not have."""
    whole = Path(font_manager.findfont("DejaVu Sans"))
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    cut = Path(folder.name) / f"{FAMILY}.ttf"
    _cut(whole, cut)
    font_manager.fontManager.addfont(cut)
    return [FAMILY, "DejaVu Sans"]


def _cut(whole: Path, to: Path) -> None:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "FFTM"]
    with TTFont(whole) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=_KEPT)
        cutter.subset(font)
        for record in font["name"].names:
            record.string = FAMILY
        font.save(to)
