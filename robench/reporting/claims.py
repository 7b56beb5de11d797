"""Claims beside what was measured: a table each for the page and the terminal."""

from typing import get_args

import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from robench.analysis.claims import Judged, Tested, Verdict
from robench.analysis.differences import Difference
from robench.reporting.words import escaped

_HEAD = ("| where | against | points, 95 % interval | verdict |", "| --- | --- | ---: | --- |")

CAPTION = (
    "A claim holds where the whole interval of the difference bears it out, and does not hold "
    "where the whole interval denies it. Intervals are paired, image by image and seed by seed; "
    "they cover the choice of test images and, with several seeds, of trainings."
)


def asked(tested: Tested) -> str:
    """What is compared, in a line."""
    claim = tested.claim
    if claim.within is not None:
        how = f"within {claim.within:g} points"
    elif claim.by < 0:
        how = f"at most {-claim.by:g} points lower"
    else:
        how = f"more than {claim.by:g} points higher" if claim.by else "higher"
    return f"{claim.method}: {claim.measure} {how}"


def points(found: Difference) -> str:
    """``+3.1 (1.2 to 5.0)`` in points."""
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def terminal(found: list[Tested]) -> Group:
    """Claim after claim, each with its comparisons."""
    lines: list[RenderableType] = []
    for tested in found:
        said = [asked(tested), *map(_said, tested.judged)]
        said += ["nothing was measured"] * (not tested.judged)
        said += [tested.claim.remark] * bool(tested.claim.remark)
        lines += [Text(tested.claim.says, style="bold"), Text(tested.claim.source, "dim")]
        lines += [Padding(Text(line), (0, 0, 0, 2), expand=False) for line in said]
        lines.append(Text(""))
    return Group(*lines)


def markdown(found: list[Tested]) -> str:
    """The page's section of claims."""
    parts = ["## Claims", CAPTION, overview(found)]
    for tested in found:
        says, source = escaped(tested.claim.says), escaped(tested.claim.source)
        parts.append(f"**{says}** ({source}). {escaped(asked(tested))}.")
        rows = [
            [escaped(one.place), escaped(one.against), points(one.difference), one.verdict]
            for one in tested.judged
        ]
        parts.append(
            "\n".join([*_HEAD, *(f"| {' | '.join(row)} |" for row in rows)])
            if rows
            else "Nothing was measured."
        )
        parts += [escaped(tested.claim.remark)] * bool(tested.claim.remark)
    return "\n\n".join(parts) + "\n"


def overview(found: list[Tested]) -> str:
    """A table with a row a claim: how many comparisons bear it out, deny it, leave it open."""
    verdicts = get_args(Verdict)
    lines = [["method", "claim", *verdicts], ["---", "---", *["---:"] * len(verdicts)]]
    for tested in found:
        counts = [str(sum(one.verdict == verdict for one in tested.judged)) for verdict in verdicts]
        own = f"`{escaped(tested.claim.method)}`", escaped(tested.claim.says)
        lines.append([*own, *counts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tidy(found: list[Tested]) -> pd.DataFrame:
    """A row a comparison; differences are shares, not points."""
    rows = [
        {
            "claim": tested.claim.says,
            "source": tested.claim.source,
            "method": tested.claim.method,
            "against": one.against,
            "measure": tested.claim.measure,
            "where": one.place,
            "difference": one.difference.mean,
            "low": one.difference.low,
            "high": one.difference.high,
            "verdict": one.verdict,
        }
        for tested in found
        for one in tested.judged
    ]
    return pd.DataFrame(rows)


def _said(one: Judged) -> str:
    return f"{one.verdict}: {one.place}, against {one.against}: {points(one.difference)}"
