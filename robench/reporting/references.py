"""Published figures beside measured ones, in columns of their own."""

from collections.abc import Sequence

import pandas as pd

from robench.analysis.references import Beside, Published, Strength
from robench.analysis.summary import Summary
from robench.reporting.table import Table, rows_of
from robench.reporting.words import VERDICTS, estimate, named

_MARKS: dict[Strength, str] = {"weaker": " ↓", "stronger": " ↑", "alike": "", "unlike": ""}
"""Behind a published robust accuracy: its attack beside the suite that measured."""


def table(found: Sequence[Beside]) -> Table:
    """What it shows, of one summary's lines; there has to be one at least."""
    return Table(
        title=title(found), header=tuple(header(found)), rows=rows_of(cells(found)),
        caption=tuple(caption(found)), footnotes=tuple(sources(found)),
    )  # fmt: skip


def title(found: Sequence[Beside]) -> str:
    """What a table is about, in a line."""
    shared = found[0].summary.shared
    recipe = f", recipe {shared['recipe']}" if shared["recipe"] else ""
    trained = f"trained at {shared['train_norm']} {shared['train_eps']}{recipe}"
    attacked = f"attacked at {shared['norm']} {', '.join(dict.fromkeys(one.eps for one in found))}"
    place = f"{shared['dataset']}, {shared['model']}"
    return f"Published beside measured: {place}, {trained}, {attacked} by {shared['suite']}"


def header(found: Sequence[Beside]) -> list[str]:
    """Columns; ``points`` are claimed minus measured."""
    columns = ["published", "measured", "points"]
    sides = [f"{side} {column}" for side in ("natural", "robust") for column in columns]
    return ["method", *(["eps"] if _several(found) else []), *sides, "source"]


def cells(found: Sequence[Beside]) -> list[list[str]]:
    """Rows in the order of the table's lines; the last column is a number of the sources'."""
    numbers = {entry: number for number, entry in enumerate(_entries(found), 1)}
    return [_row(one, f"({numbers[one.published]})", several=_several(found)) for one in found]


def caption(found: Sequence[Beside]) -> list[str]:
    """What a reader has to know before the two are compared, a sentence a line."""
    summary, strengths = found[0].summary, {one.strength for one in found if _robust(one)}
    suite = summary.shared["suite"]
    said = [
        "Per cent. published: by the source; measured: here; points: claimed minus measured.",
        _measured(summary),
        f"Suite {suite}: {VERDICTS[str(summary.shared['verdict'])]}.",
        "Data set, network, norm and radii are the same, the rest need not be: recipe, epochs, "
        "choice of checkpoint, attack and test images make differences of their own; what is known "
        "of each source stands below.",
        f"↓ by a weaker attack than suite {suite}: some of the difference is the attack's."
        if "weaker" in strengths
        else "",
        f"↑ by a stronger attack than suite {suite}: what was measured is an upper bound."
        if "stronger" in strengths
        else "",
        _limits(summary),
    ]
    return [line for line in said if line]


def sources(found: Sequence[Beside]) -> list[str]:
    """Of every entry: whose it is, what attacked, on how many images, and under what conditions."""
    entries = enumerate(_entries(found), 1)
    suite = found[0].summary.shared["suite"]
    weaker = {one.published for one in found if one.strength == "weaker"}
    return [_source(number, one, f"{suite}" * (one in weaker)) for number, one in entries]


def tidy(found: Sequence[Beside]) -> pd.DataFrame:
    """A row an entry and line, of any tables; accuracies and differences are shares."""
    return pd.DataFrame([_tidied(one) for one in found])


def _several(found: Sequence[Beside]) -> bool:
    return len({one.eps for one in found}) > 1


def _entries(found: Sequence[Beside]) -> list[Published]:
    return list(dict.fromkeys(one.published for one in found))


def _robust(one: Beside) -> bool:
    return one.published.robust is not None


def _row(one: Beside, source: str, *, several: bool) -> list[str]:
    n, entry = int(str(one.summary.shared["n"])), one.published
    mark = _MARKS[one.strength] if _robust(one) else ""
    return [
        named(one.summary, one.line),
        *([one.eps] if several else []),
        _claimed(entry.natural),
        estimate(one.natural, n),
        _difference(one.natural_points, n),
        _claimed(entry.robust) + mark,
        estimate(one.robust, n),
        _difference(one.robust_points, n),
        source,
    ]


def _claimed(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _difference(value: float | None, n: int) -> str:
    """With the decimals that ``n`` images can carry."""
    return "-" if value is None else f"{value:+.{2 if n >= 2000 else 1}f}"


def _measured(summary: Summary) -> str:
    several = summary.seeds > 1
    spread = f"; ± is the standard deviation over up to {summary.seeds} seeds" if several else ""
    single = any(len(line.seeds) == 1 for line in summary.lines)
    interval = "; of one seed with its 95 % Wilson interval" if single else ""
    on = f"{int(str(summary.shared['n'])):,} test images, {summary.checkpoint} checkpoint"
    return f"Measured on {on}{spread}{interval}."


def _limits(summary: Summary) -> str:
    limits = [
        f"{int(str(summary.shared[key])):,} {kind} images"
        for key, kind in (("train_limit", "training"), ("test_limit", "test"))
        if summary.shared[key] is not None
    ]
    return f"For testing only: limited to {' and '.join(limits)}." if limits else ""


def _source(number: int, one: Published, weaker_than: str) -> str:
    images = f", {one.n:,} images" if one.n is not None else ""
    than = f", weaker than suite {weaker_than}" if weaker_than else ""
    attack = f"; {one.attack}{than}" if one.robust is not None else ""
    conditions = f"; {one.conditions}" if one.conditions else ""
    return f"({number}) {one.method}: {one.source}{attack}{images}{conditions}"


def _tidied(one: Beside) -> dict[str, object]:
    entry, shared = one.published, one.summary.shared
    names = ("dataset", "model", "recipe", "train_norm", "train_eps", "suite", "verdict", "norm")
    return {
        **{name: shared[name] for name in names},
        "eps": one.eps,
        "method": one.line.label,
        "checkpoint": one.summary.checkpoint,
        "n": shared["n"],
        "seeds": len(one.line.seeds),
        "natural_measured": one.natural.mean,
        "natural_published": _share(entry.natural),
        "natural_difference": _share(one.natural_points),
        "robust_measured": one.robust.mean,
        "robust_published": _share(entry.robust),
        "robust_difference": _share(one.robust_points),
        "published_attack": entry.attack,
        "published_verdict": entry.verdict if _robust(one) else "",
        "strength": one.strength if _robust(one) else "",
        "published_n": entry.n,
        "source": entry.source,
        "conditions": entry.conditions,
    }


def _share(value: float | None) -> float | None:
    return None if value is None else value / 100
