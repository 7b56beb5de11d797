"""Images that fell: as they are, what was added, and what the network then took them for."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robench.analysis.adversarial import distances, read
from robench.errors import StoreError
from robench.evaluation.examples import Examples, Pixels
from robench.evaluation.stored import has_examples, is_of, trusted
from robench.reporting.figures import STYLE, save
from robench.settings import Plain
from robench.store.records import CellFolder, cell_folders, read_record

MOST = 10
"""Columns of a gallery."""

ROWS = ("clean", "perturbation", "adversarial")


def found(results: Path) -> list[tuple[CellFolder, Path]]:
    """Every evaluation of a results folder that has images that fell: its cell and its record.

    What is damaged, or is of weights that the cell no longer has, is not among them.
    """
    there = []
    for folder in cell_folders(results):
        cell = trusted(folder.record)
        if cell is None or cell["status"] != "ok":
            continue
        for path in folder.evaluations():
            record = trusted(path)
            if record is not None and _shows(path, record) and is_of(record, cell):
                there.append((folder, path))
    return there


def _shows(path: Path, record: Plain) -> bool:
    fine = record["status"] == "ok" and has_examples(path, record)
    return fine and record["images"]["fell"] > 0


def draw(cell: CellFolder, evaluation: Path, folder: Path, name: str) -> Path:
    """The first images of a cell's evaluation that fell, a column each; the PNG's path.

    Raises:
        StoreError: a record or the images are damaged, or no image of them fell.
    """
    record, about = read_record(evaluation), read_record(cell.record)
    examples = read(evaluation, record)
    if not len(examples.position):
        raise StoreError(f"none of the images of {evaluation} fell; there is nothing to draw")
    with style.context(STYLE):
        figure, axes, factor = _canvas(examples)
        wide = int(15 * figure.get_figwidth())  # letters of a title
        lines = [textwrap.fill(line, wide) for line in _said(examples, record, about, factor)]
        figure.suptitle("\n".join(lines), fontsize=8)
        return save(figure, axes, _table(examples, record).head(MOST), folder / name)


def _canvas(examples: Examples) -> tuple[Figure, Axes, float]:
    """Three rows of images, and by how much the middle one was enlarged: the same for all."""
    at = examples.position[:MOST]
    clean, adversarial = examples.clean[at], examples.adversarial[:MOST]
    moved = adversarial - clean
    most = float(np.abs(moved).max())
    factor = 0.5 / most if most else 1.0  # a network that draws may change its mind by itself
    columns = len(at)
    figure = Figure(figsize=(max(4.0, 0.5 + 0.78 * columns), 3.3), layout="constrained")
    panels = figure.subplots(len(ROWS), columns, squeeze=False)
    for row, pictures in enumerate((clean, 0.5 + factor * moved, adversarial)):
        panels[row, 0].set_ylabel(ROWS[row], fontsize=8)
        for axes, picture in zip(panels[row], pictures, strict=True):
            _show(axes, picture)
    for column, axes in enumerate(panels[0]):
        axes.set_title(_changed(examples, column), fontsize=7)
    return figure, panels[0, 0], factor


def _show(axes: Axes, picture: Pixels) -> None:
    """One image, (C, H, W): grey, or in its first three colours."""
    shown = np.moveaxis(picture[:3], 0, -1) if len(picture) >= 3 else picture[0]
    axes.imshow(shown.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("0.7")


def _changed(examples: Examples, number: int) -> str:
    true, taken = examples.y[examples.position[number]], examples.labels[number]
    return f"{true} -> {taken}\n{textwrap.fill(_attacks(examples)[number], 15)}"


def _attacks(examples: Examples) -> list[str]:
    """The name of what broke each image that fell."""
    return [examples.attacks[number] for number in examples.attack]


def _said(examples: Examples, record: Plain, about: Plain, factor: float) -> list[str]:
    """What is shown, and how it was chosen."""
    identity, of = record["identity"], about["identity"]
    fell, every = len(examples.position), len(examples.clean)
    return [
        f"{about['label']} seed {of['seed']}, {of['dataset']}, {of['model']}, "
        f"{identity['checkpoint']} checkpoint",
        f"suite {identity['suite']}, {identity['norm']} {identity['eps']}, "
        f"perturbation x {factor:.3g} around grey",
        f"{min(fell, MOST)} of the {fell} that fell among the first {every} test images",
    ]


def _table(examples: Examples, record: Plain) -> pd.DataFrame:
    """A row for each image that fell."""
    norm, at = record["identity"]["norm"], examples.position
    return pd.DataFrame(
        {
            "position": at,
            "y": examples.y[at],
            "natural_label": examples.natural[at],
            "adversarial_label": examples.labels,
            "attack": _attacks(examples),
            "norm": norm,
            "eps": record["identity"]["eps"],
            "distance": distances(examples, norm),
        }
    )
