"""``robench binarise``: whether an attack finds what is there by construction."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    import torch

    from robench.evaluation.binarisation import BinarisationResult, Featured
    from robench.reopen import Reopened
    from robench.store.cell import Kept
    from robench.store.records import CellFolder


@click.command(
    "binarise", context_settings=CONTEXT, short_help="Whether attacks find what must be there."
)
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
@click.option(
    "--images", type=click.IntRange(min=1), default=64, help="Test images; each takes an attack."
)
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", help="Weights to test."
)
@click.option(
    "--data-root", type=folder, default=Path("data"), metavar="FOLDER", help="A torchvision root."
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
def command(results: Path, images: int, checkpoint: "Kept", data_root: Path, device: str) -> int:
    """Put the binarisation test (arXiv:2206.13991) to all trained cells of a RESULTS folder.

    For every image the last layer is replaced by one of two classes for which an adversarial
    example exists by construction, and APGD with the margin loss looks for it. Where it finds less
    than 95 % of them, no attack on the cell can be believed. Writes binarisation.csv there, and
    leaves with 1 when a cell fails.
    """
    import pandas as pd
    import torch

    from robench.device import choose
    from robench.errors import ConfigError
    from robench.store.files import write
    from robench.store.records import cell_folders

    cells = cell_folders(results)
    if not cells:
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    torch.set_num_threads(1)  # two thousand small passes an image: a second thread only waits
    place, rows, passed = choose(device), [], True
    for cell in cells:
        for found, result in _tried(cell, checkpoint, data_root, place, images):
            rows.append(_row(cell, checkpoint, found, result))
            passed = passed and result.passed
            echo(_in_words(found, checkpoint, result))
    if not rows:
        raise ConfigError(f"{results} has no cell that could be tested")
    path = results / "binarisation.csv"
    write(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())
    echo(path)
    return int(not passed)


def _tried(
    cell: "CellFolder", checkpoint: "Kept", data_root: Path, device: "torch.device", images: int
) -> "Iterator[tuple[Reopened, BinarisationResult]]":
    """A cell and what became of it; nothing, with one line that says why, if it is not whole."""
    from robench.adversary.apgd import APGD
    from robench.errors import RobenchError
    from robench.evaluation.binarisation import binarisation
    from robench.reopen import reopen

    try:
        found = reopen(cell, checkpoint, data_root, device, test_limit=images)
        model, x = cast("Featured", found.model), found.data.test.x()
        attack, seed = APGD(loss="margin"), found.identity["seed"]
        yield found, binarisation(model, x, found.threat, attack, seed, images)
    except RobenchError as error:
        echo(f"skipped: {error}", err=True)


def _row(
    cell: "CellFolder", checkpoint: str, found: "Reopened", result: "BinarisationResult"
) -> dict[str, object]:
    from robench.radius import show_eps

    same = ("dataset", "model", "seed")
    return {
        "method": found.label,
        **{name: found.identity[name] for name in same},
        "checkpoint": checkpoint,
        "norm": found.threat.norm,
        "eps": show_eps(found.eps),
        "attack": "apgd-margin",
        "n": result.tested,
        "n_broken": result.broken,
        "n_random_broken": result.random_broken,
        "success": result.success,
        "random_success": result.random_success,
        "passed": result.passed,
        "cell": cell.path.name,
    }


def _in_words(found: "Reopened", checkpoint: str, result: "BinarisationResult") -> str:
    label = f"{found.label} seed {found.identity['seed']} {checkpoint}"
    return (
        f"{'passed' if result.passed else 'FAILED'}  {label}: the attack breaks {result.broken} of "
        f"{result.tested}, random points {result.random_broken}"
    )
