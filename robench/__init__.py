"""Compare robust training methods under attacks that do not flatter them.

What commands do with results, from Python; importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from robench.analysis.regression import Comparison
    from robench.reporting.found import Report
    from robench.upkeep.merging import Duplicates, Merged

__version__ = "0.1.0"

_Folder = str | Path


def load_results(path: _Folder) -> pd.DataFrame:
    """The rows of a folder's results.csv, made anew from its cells; changes nothing.

    What cannot be trusted is left out, with a Python warning that names it.

    Raises:
        robench.errors.ConfigError: the folder holds no cells.
    """
    from robench.analysis.table import read
    from robench.errors import ConfigError
    from robench.store.records import cell_folders

    if not cell_folders(Path(path)):
        raise ConfigError(f"{path} holds no results; robench run --results fills a folder")
    frames, problems = read(Path(path))
    _warn(problems)
    return frames["results"]


def report(path: _Folder) -> Report:
    """Write a folder's tables, figures and pages, as ``robench report`` does; what they hold.

    Raises:
        robench.errors.RobenchError: there are no results, or the folder cannot be written.
    """
    from robench.reporting.report import report

    found, written = report(Path(path))
    _warn(found.problems)
    if isinstance(written, Exception):
        raise written
    return found


def compare(path: _Folder, baseline: _Folder) -> Comparison:
    """Look up every worst case of a past results.csv, as ``robench compare`` does.

    Raises:
        robench.errors.ConfigError: the folder holds no cells, or the file is no results.csv.
    """
    from robench.analysis.regression import compare

    found = compare(Path(path), Path(baseline))
    _warn(found.problems)
    return found


def merge(paths: Sequence[_Folder], into: _Folder, duplicates: Duplicates = "error") -> Merged:
    """Unite results folders in one, as ``robench merge`` does.

    Raises:
        robench.errors.ConfigError: a folder holds no cells, or there are duplicates.
        robench.errors.WriteError: the merged folder cannot be written.
    """
    from robench.upkeep.merging import merge

    found = merge([Path(path) for path in paths], Path(into), duplicates)
    _warn(found.problems)
    return found


def _warn(problems: Sequence[str]) -> None:
    import warnings

    for problem in problems:
        warnings.warn(problem, stacklevel=3)
