"""``robench diff``: two cells side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    from robench.analysis.contrast import Contrast
    from robench.analysis.paired import Paired

WIDTH = 80


@click.command("diff", context_settings=CONTEXT, short_help="Where two cells differ.")
@click.argument("one", metavar="CELL")
@click.argument("other", metavar="CELL")
@click.option("--results", default=RESULTS, type=folder, help="Where cells are looked for by name.")
def command(one: str, other: str, results: Path) -> int:
    """Say where two cells differ: what they are, weights, environment, cost, accuracies.

    A CELL is its folder, or its name or a unique beginning of it. Where both were attacked alike on
    the same test images, p is McNemar's exact test on the images that stand in one of them only.
    Leaves with 1 when settings, data, weights or outcomes differ.
    """
    from robench.analysis.contrast import contrast
    from robench.store.named import cell_named

    cells = cell_named(one, results), cell_named(other, results)
    found = contrast(*cells)
    names = [cell.path.name for cell in cells]
    for name, cell in zip(names, cells, strict=True):
        echo(name if names[0] != names[1] else cell.path)
    for line in _lines(found):
        echo(click.wrap_text(line, WIDTH, subsequent_indent="    ", preserve_paragraphs=False))
    for problem in found.pairs.problems:
        echo(f"warning: {problem}", err=True)
    if found.is_equal:
        echo("the cells are equal")
    elif not found.is_other:
        echo("the same settings, data and weights, and no image comes to anything else")
    return int(found.is_other or bool(found.pairs.problems))


def _lines(found: "Contrast") -> Iterator[str]:
    for about, apart in found.apart.items():
        if apart:
            yield f"{about}:"
        for part in apart:
            yield f"  {part.name}: {part.one} -> {part.other}"
    if found.pairs.paired:
        yield "evaluations:"
    for pair in found.pairs.paired:
        if not pair.is_equal:
            yield f"  {_accuracies(pair)}"
    if alike := sum(pair.is_equal for pair in found.pairs.paired):
        yield f"  every image alike in {alike} of {len(found.pairs.paired)}"
    for number, which in zip(found.pairs.alone, ("first", "second"), strict=True):
        if number:
            yield f"{number} evaluations of the {which} cell only"


def _accuracies(pair: "Paired") -> str:
    if not pair.n:
        return f"{pair.name}: {pair.note}"
    natural, robust = (f"{a:.1%} -> {b:.1%}" for a, b in (pair.natural, pair.robust))
    only = f"{pair.only[0]} stand in the first only, {pair.only[1]} in the second"
    note = f" ({pair.note})" if pair.note else ""
    return f"{pair.name}: natural {natural}, robust {robust}, {only}, p {pair.p:.2g}{note}"
