"""Why there are several tables: what was never put together, because it is not alike."""

from collections.abc import Mapping, Sequence

from robench.analysis.summary import SHARED
from robench.reporting.found import Report

_SAID = {
    "dataset": "data sets", "data": "versions of a data set", "model": "networks",
    "recipe": "recipes", "train_norm": "norms of training", "train_eps": "radii of training",
    "train_limit": "numbers of training images", "suite": "suites", "packages": "package versions",
    "norm": "norms attacked in", "sweep": "sets of radii", "test_limit": "limits of test images",
    "verdict": "strengths of a suite", "n": "numbers of test images",
}  # fmt: skip


def apart(found: Report) -> list[str]:
    """What the tables of accuracies differ in, a line each; one table alone differs in nothing."""
    if len(found.summaries) < 2:
        return []
    shared = [summary.shared for summary in found.summaries]
    lines = [_differing(name, shared) for name in SHARED if name in _SAID]
    return [line for line in lines if line]


def _differing(name: str, tables: Sequence[Mapping[str, object]]) -> str:
    values = dict.fromkeys(_shown(table[name]) for table in tables)
    if len(values) < 2:
        return ""
    return f"{len(values)} {_SAID[name]}: {', '.join(values)}"


def _shown(value: object) -> str:
    return "none" if value is None or value == "" else str(value)
