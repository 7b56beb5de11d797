"""How a method's accuracy is spread over the classes, and where it is worst."""

from dataclasses import dataclass

import pandas as pd

from robench.analysis.images import records
from robench.analysis.summary import Summary
from robench.analysis.worst import worst_cases
from robench.errors import StoreError


@dataclass(frozen=True)
class OfClass:
    """One class of test images; accuracies in [0, 1], means over seeds."""

    number: int
    natural: float
    worst: float
    """What stands against all attacks, at the table's headline radius."""
    n: int
    """Test images of the class."""


@dataclass(frozen=True)
class ClassLine:
    """One method with its settings."""

    label: str
    seeds: int
    classes: tuple[OfClass, ...]
    """Ascending by number."""

    @property
    def weakest(self) -> OfClass:
        """The class of the lowest worst case; of several, the one of the lowest number.

        The lowest of many counts is lower than what new images would give that class.
        """
        return min(self.classes, key=lambda found: (found.worst, found.number))


def classes(summary: Summary, frame: pd.DataFrame, of_classes: pd.DataFrame) -> list[ClassLine]:
    """A table's lines by class, in its order and at its checkpoint; from the tidy frames.

    Raises:
        StoreError: a line's seeds were attacked on different numbers of a class's images.
    """
    counts = ["key", "class", "n", "n_right", "n_stands"]
    rows = worst_cases(summary, frame)[["label", "seed", "key"]].merge(of_classes[counts], on="key")
    seeds = {str(label): int(part.nunique()) for label, part in rows.groupby("label")["seed"]}
    found: dict[str, list[OfClass]] = {label: [] for label in seeds}
    for part in records(_by_class(rows)):
        label, number, n = part["label"], part["class"], part["n"]
        if part["sizes"] > 1 or part["rows"] < seeds[label]:
            raise StoreError(f"{label}: its seeds have different test images of class {number}")
        found[label].append(OfClass(number, part["right"] / n, part["stands"] / n, n))
    labels = [line.label for line in summary.lines if line.label in found]
    return [ClassLine(label, seeds[label], tuple(found[label])) for label in labels]


def _by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each label and class: how many images each seed has, and mean counts over seeds."""
    groups = rows.groupby(["label", "class"])
    return groups.agg(
        rows=("n", "size"),
        sizes=("n", "nunique"),
        n=("n", "first"),
        right=("n_right", "mean"),
        stands=("n_stands", "mean"),
    ).reset_index()
