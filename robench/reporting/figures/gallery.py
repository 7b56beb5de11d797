"""Images that fell: as they are, what was added, and what the network then took them for."""

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from robench.analysis.adversarial import distances, read
from robench.analysis.rows import TrainedCell
from robench.analysis.summary import Line, Summary
from robench.evaluation.examples import Examples, beside
from robench.evaluation.stored import is_of, read_evaluation
from robench.names import in_a_file_name
from robench.reporting.charts.chart import Pictures
from robench.settings import Plain

MOST = 10
"""Columns of a gallery."""

METHODS = 12
"""Galleries of a table: those of its first methods; what others saved is in their folders."""

ROWS = ("clean", "perturbation", "adversarial")


def charts(summary: Summary, cells: Iterable[TrainedCell]) -> list[Pictures]:
    """A gallery a method, of its first seed with images that fell at the headline radius.

    Raises:
        StoreError: images are damaged.
    """
    there = {cell.folder.path.name: cell for cell in cells}
    found = (_first(summary, line, there) for line in summary.lines)
    return [gallery for gallery in found if gallery is not None][:METHODS]


def _first(summary: Summary, line: Line, there: dict[str, TrainedCell]) -> Pictures | None:
    for name in line.cells:
        for path, record in _kept(there[name]):
            if _is_headline(record, summary) and record["images"]["fell"]:
                return chart(there[name], path, record)
    return None


def _kept(cell: TrainedCell) -> Iterator[tuple[Path, Plain]]:
    """Evaluations with images; most have none, and are not looked at."""
    for path in cell.folder.evaluations():
        if beside(path).is_file():
            record = read_evaluation(path)
            if record["status"] == "ok" and record.get("images") and is_of(record, cell.record):
                yield path, record


def _is_headline(record: Plain, summary: Summary) -> bool:
    identity, shared = record["identity"], summary.shared
    wanted = (summary.checkpoint, shared["norm"], summary.headline, shared["test_limit"])
    names = ("checkpoint", "norm", "eps", "test_limit")
    suite = str(shared["suite"]).partition(" @")[0]
    return tuple(identity[name] for name in names) == wanted and identity["suite"] == suite


def chart(cell: TrainedCell, path: Path, record: Plain) -> Pictures:
    """The first images of an evaluation that fell, a column each.

    Raises:
        StoreError: the images are damaged.
    """
    examples = read(path, record)
    at = examples.position[:MOST]
    clean, adversarial = examples.clean[at], examples.adversarial[:MOST]
    moved = adversarial - clean
    most = float(np.abs(moved).max())
    factor = 0.5 / most if most else 1.0  # a network that draws may change its mind by itself
    name = in_a_file_name(f"{cell.record['label']}-s{cell.record['identity']['seed']}")
    return Pictures(
        kind=f"gallery-{name}",
        title="\n".join(_said(examples, record, cell.record, factor)),
        names=ROWS,
        columns=tuple(_changed(examples, column) for column in range(len(at))),
        pixels=np.stack([clean, 0.5 + factor * moved, adversarial]),
        rows=_table(examples, record).head(MOST),
    )


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
        f"{identity['checkpoint']} checkpoint; suite {identity['suite']}, {identity['norm']} "
        f"{identity['eps']}",
        f"perturbation x {factor:.3g} around grey; {min(fell, MOST)} of the {fell} that fell among "
        f"the first {every} test images",
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
