"""A part of a report: a table, figures, and what is said of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from robench.names import in_a_file_name
from robench.reporting.charts.chart import Figure
from robench.reporting.table import Table
from robench.store.files import digest

NAMED = re.compile(r".+-[0-9a-f]{8}")
"""Files that carry a section's name; others in the folder are not the report's."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What stands together on the page, and in files of one name."""

    of: str
    """How its files end: what it is about, and a digest of what its numbers have in common."""
    kind: str = ""
    """How the files of its table begin, where others of the same end are there."""
    table: Table | None = None
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The table's numbers, unrounded."""
    said: tuple[str, ...] = ()
    """Sentences below the table."""
    figures: tuple[Figure, ...] = ()
    printed: bool = False
    """Whether the terminal shows it, too."""
    below: bool = False
    """Whether it belongs to the section before it."""

    @property
    def name(self) -> str:
        """Of its table's files."""
        return f"{self.kind}-{self.of}" if self.kind else self.of

    def stem(self, figure: Figure) -> str:
        """A figure's file name."""
        return f"{figure.kind}-{self.of}" if figure.kind else self.of


def name(of: Mapping[str, object]) -> str:
    """A section's name, which stays as it is when others come to stand beside it."""
    shared = {key: str(value) for key, value in of.items()}
    said = "-".join(shared[key] for key in ("dataset", "model", "suite", "norm"))
    return f"{in_a_file_name(said.replace(' @', '-'))}-{digest(shared)[:8]}"
