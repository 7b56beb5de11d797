"""One results folder of several: nothing is averaged, nothing is lost without a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from robench import names
from robench.analysis import table
from robench.analysis.transfer import FILE
from robench.errors import ConfigError, StoreError
from robench.store import asked
from robench.store.records import CellFolder, cell_folders
from robench.upkeep import copying
from robench.upkeep.layers import Layers, lay

Duplicates = Literal["error", "last", "all"]
"""What becomes of a cell with other weights, or an evaluation with other outcomes: nothing is
copied; that of the folder named last counts; or the later ones go to a results folder of their own.
"""

ASIDE = "duplicates"
"""The folder of the later ones, in the merged one; it may have one itself."""


@dataclass(frozen=True)
class Merged:
    """What a merged folder holds."""

    cells: int
    evaluations: int
    duplicates: tuple[str, ...]
    """What was there in more than one form."""
    aside: tuple[Path, ...]
    """Results folders of those that came later."""
    notes: tuple[str, ...]
    """What was left out, and stands elsewhere or can be made again."""
    problems: tuple[str, ...]
    """What could not be trusted, or not be written because somebody works on it."""


def merge(sources: Sequence[Path], into: Path, duplicates: Duplicates = "error") -> Merged:
    """Unite the cells of results folders in one, which may be there; then it comes first.

    Equal cells have the same name and weights, equal evaluations the same outcome of every image.
    Interrupted and begun again, it ends the same.

    Raises:
        ConfigError: a source has no cells, or there are duplicates and they are errors.
        WriteError: the merged folder cannot be written.
    """
    names.known("way with duplicates", duplicates, get_args(Duplicates))
    _check(sources, into)
    layers = lay(_in_order(sources, into, duplicates))
    found = layers.duplicates
    if found and duplicates == "error":
        raise ConfigError(f"{'; '.join(found)}; nothing was copied, --duplicates says what to take")
    places = _write(layers, into, deep=duplicates == "all")
    problems = layers.problems
    for source in sources:
        problems += asked.unite(source, into)
    for place in places:
        problems += table.write_tables(place).problems
    notes = [*layers.notes, *(note for source in sources for note in _not_merged(source))]
    firsts = [placed[0] for placed in layers.cells.values()]
    return Merged(
        len(firsts),
        sum(len(cell.evaluations) for cell in firsts),
        tuple(found),
        tuple(places[1:]),
        tuple(notes),
        tuple(dict.fromkeys(problems)),
    )


def _check(sources: Sequence[Path], into: Path) -> None:
    for source in sources:
        if not cell_folders(source):
            raise ConfigError(f"{source} holds no cells to merge")
        if source.resolve() == into.resolve():
            raise ConfigError(f"{into} is what is made, and comes first as it is; name the others")


def _in_order(sources: Sequence[Path], into: Path, duplicates: Duplicates) -> list[Path]:
    """Folders of which the first one's cell counts where there are several."""
    if duplicates == "last":
        return [*reversed(sources), into]
    there = [into]
    while duplicates == "all" and cell_folders(there[-1] / ASIDE):
        there.append(there[-1] / ASIDE)
    return [*there, *sources]


def _write(layers: Layers, into: Path, *, deep: bool) -> list[Path]:
    """Write every cell, the first layer of each before the next; the folders written to."""
    places = [into]
    for name, cells in layers.cells.items():
        for depth, cell in enumerate(cells if deep else cells[:1]):
            if depth == len(places):
                places.append(places[-1] / ASIDE)
            try:
                copying.put(cell, CellFolder(places[depth] / "cells" / name), layers.problems)
            except StoreError as error:
                layers.problems.append(str(error))
                break  # what comes later would take its place
    return places


def _not_merged(source: Path) -> list[str]:
    notes = []
    if (source / FILE).exists():
        notes.append(f"{source / FILE} is not merged: robench transfer makes one of all cells")
    if (source / "grid.toml").exists():
        notes.append(f"{source / 'grid.toml'} with its claims is not merged")
    return notes
