"""``robench audit``: whether the attack that a number rests on can be believed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from robench.cli.audited import Line, drawn, row, title
from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    import torch

    from robench.adversary.attack import Attack
    from robench.evaluation.binarisation import Featured
    from robench.evaluation.flags import Status
    from robench.reopen import Reopened
    from robench.store.cell import Kept
    from robench.store.records import CellFolder


@click.command(
    "audit", context_settings=CONTEXT, short_help="Whether an attack can be believed on a cell."
)
@click.argument("paths", nargs=-1, type=folder, metavar="[PATH]...", envvar="ROBENCH_RESULTS")
@click.option("--suite", default="standard", help="Its first attack that climbs a loss is audited.")
@click.option(
    "--images", type=click.IntRange(min=1), default=32, help="Test images; each takes two attacks."
)
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", help="Weights to attack."
)
@click.option(
    "--binarise/--no-binarise", default=True, help="Also put the binarisation test (2206.13991)."
)
@click.option(
    "--data-root", type=folder, default=Path("data"), metavar="FOLDER", help="A torchvision root."
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
def command(
    paths: tuple[Path, ...],
    suite: str,
    images: int,
    checkpoint: "Kept",
    binarise: bool,
    data_root: Path,
    device: str,
) -> int:
    """Audit an attack on trained cells, or on all cells of results folders (results/local).

    Six indicators of attack failure (arXiv:2106.09947) are read off the attack's own run, image by
    image, each in [0, 1]; the binarisation test (arXiv:2206.13991) asks the attack for adversarial
    examples that are there by construction. Whatever is up comes with what to do about it. Writes
    audit.csv into each results folder, and leaves with 1 when an indicator is up or the test fails.
    """
    import torch

    from robench.adversary.suite import suite as suite_of
    from robench.device import choose
    from robench.errors import ConfigError
    from robench.evaluation.indicators.trace import believed

    name, attack = believed(suite_of(suite))
    cells = _cells(paths or (RESULTS,))
    torch.set_num_threads(1)  # thousands of passes with one image: a second thread only waits
    asked = _Asked(name, attack, images, checkpoint, binarise, data_root, choose(device))
    written, up = False, False
    for results, folders in cells.items():
        rows = [line for cell in folders for line in _audited(cell, asked)]
        up = up or any(line["status"] == "up" for line in rows)
        written = written or bool(rows)
        _write(results / "audit.csv", rows)
    if not written:
        raise ConfigError(f"{', '.join(map(str, cells))} has no cell that could be audited")
    return int(up)


@dataclass(frozen=True)
class _Asked:
    """What is done to every cell."""

    name: str
    attack: "Attack"
    images: int
    checkpoint: "Kept"
    binarise: bool
    data_root: Path
    device: "torch.device"


def _cells(paths: Sequence[Path]) -> "dict[Path, list[CellFolder]]":
    """Cells by the results folder that they are in."""
    from robench.errors import ConfigError
    from robench.store.records import CellFolder, cell_folders

    found: dict[Path, list[CellFolder]] = {}
    for path in paths:
        alone = CellFolder(path)
        folders = [alone] if alone.record.is_file() else cell_folders(path)
        if not folders:
            raise ConfigError(f"{path} holds no cells; robench run --results fills a folder")
        there = found.setdefault(path.absolute().parent.parent if alone in folders else path, [])
        there += [cell for cell in folders if cell not in there]
    return found


def _audited(cell: "CellFolder", asked: _Asked) -> list[Mapping[str, object]]:
    """A cell's rows, printed; none, with one line that says why, if it cannot be audited."""
    from robench.errors import RobenchError
    from robench.reopen import reopen

    try:
        twice = 2 * asked.images  # some of them are wrong to begin with
        found = reopen(cell, asked.checkpoint, asked.data_root, asked.device, test_limit=twice)
        lines = list(_lines(found, asked))
    except RobenchError as error:
        echo(f"skipped: {error}", err=True)
        return []
    echo(f"{title(found, asked.checkpoint, asked.name)}\n{drawn(lines)}\n")
    return [row(cell.path.name, found, asked.checkpoint, asked.name, line) for line in lines]


def _lines(found: "Reopened", asked: _Asked) -> Iterator[Line]:
    from robench.errors import ConfigError
    from robench.evaluation.indicators.indicators import indicators, rightly
    from robench.evaluation.indicators.trace import Audited
    from robench.models.prepared import prepared
    from robench.seeds import derive, seeded

    if not found.eps:
        raise ConfigError(f"{found.label} was trained at eps 0, where no attack runs")
    model, x, y = found.model, found.data.test.x(), found.data.test.y
    seed = found.identity["seed"]
    with seeded(derive(seed, "audit")):
        chosen = rightly(model, x, y, asked.images)
    if not len(chosen):
        raise ConfigError(f"{found.label} classifies no image rightly that could be attacked")
    surrogate = prepared(model, x[:8]) if getattr(asked.attack, "only_calls", False) else model
    audited = Audited(model, surrogate, asked.attack, x[chosen], y[chosen], found.threat, seed)
    for name, shown in indicators(audited).items():
        said = shown.finding
        yield Line(name, said.status, shown.value, len(shown.values), said.detail)
    if asked.binarise:
        yield _binarised(found, asked, x, seed)


def _binarised(found: "Reopened", asked: _Asked, x: "torch.Tensor", seed: int) -> Line:
    """The value is the share that the attack misses, so that 0 is good here as everywhere.

    It is up where so many misses are no chance: of 32 images, two do not make a mark of 95 %.
    """
    from robench.adversary.apgd import APGD
    from robench.errors import ConfigError
    from robench.evaluation.binarisation import PASS, binarisation
    from robench.evaluation.indicators.catalogue import BINARISATION
    from robench.evaluation.probes.chance import beyond

    try:
        model = cast("Featured", found.model)
        result = binarisation(model, x, found.threat, APGD(loss="margin"), seed, asked.images)
    except ConfigError as error:
        return Line(BINARISATION, "unknown", float("nan"), 0, str(error))
    detail = (
        f"APGD on the margin breaks {result.broken} of {result.tested}, "
        f"random points {result.random_broken}"
    )
    missed = result.tested - result.broken
    up = beyond(missed, result.tested, 1 - PASS)
    status: Status = "ok" if result.passed else "up" if up else "unknown"
    return Line(BINARISATION, status, missed / max(result.tested, 1), result.tested, detail)


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """The table of what was audited now, in the place of an earlier one."""
    import pandas as pd

    from robench.store.files import write

    if rows:
        write(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())
        echo(path)
