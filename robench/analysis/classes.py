"""How a method's accuracy is spread over the classes, and where it is worst."""

from dataclasses import dataclass

import pandas as pd

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
    by_label = {str(label): part for label, part in rows.groupby("label")}
    labels = [line.label for line in summary.lines if line.label in by_label]
    return [_line(label, by_label[label]) for label in labels]


def _line(label: str, rows: pd.DataFrame) -> ClassLine:
    found = []
    for number, part in rows.groupby("class", sort=True):
        if part["n"].nunique() > 1 or len(part) < rows["seed"].nunique():
            raise StoreError(f"{label}: its seeds have different test images of class {number}")
        n = int(part["n"].iloc[0])
        right, stands = (float(part[name].mean() / n) for name in ("n_right", "n_stands"))
        found.append(OfClass(int(str(number)), right, stands, n))
    return ClassLine(label, int(rows["seed"].nunique()), tuple(found))
