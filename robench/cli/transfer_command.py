"""``robench transfer``: what is crafted on each method, looked at by every other one."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, RESULTS, folder

if TYPE_CHECKING:
    import torch
    from torch import nn

    from robench.evaluation.transferring import Crossing
    from robench.reopen import Reopened
    from robench.settings import Plain
    from robench.store.cell import Kept
    from robench.store.records import CellFolder

    Found = tuple[CellFolder, Plain]

_ALIKE = ("dataset", "model", "norm", "eps", "seed")
"""What cells share that craft for each other."""

_ATTACKS = ("vmi-fgsm", "mi-fgsm", "di-fgsm", "ti-fgsm", "pgd")


@click.command(context_settings=CONTEXT, short_help="Craft on each method, attack every other.")
@click.argument("results", default=RESULTS, type=folder, envvar="ROBENCH_RESULTS")
@click.option("--attack", type=click.Choice(_ATTACKS), default="vmi-fgsm", help="What crafts.")
@click.option("--images", type=click.IntRange(min=1), default=200, help="Test images of each cell.")
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", help="Weights to test."
)
@click.option(
    "--data-root", type=folder, default=Path("data"), metavar="FOLDER", help="A torchvision root."
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
def command(
    results: Path, attack: str, images: int, checkpoint: "Kept", data_root: Path, device: str
) -> int:
    """Craft on each trained cell of a RESULTS folder, and let every other one look.

    Cells of the same data, network, seed and training ball attack each other inside that ball; so
    does, for each, the mean of all others. A method that loses more images to another one's
    gradients than to its own has gradients that lead nowhere. Writes transfer.csv there, which
    robench report draws, and leaves with 1 when a method shows that sign.
    """
    import pandas as pd
    import torch
    from rich.console import Console

    from robench.analysis.transfer import COLUMNS, FILE, matrices
    from robench.device import choose
    from robench.errors import ConfigError
    from robench.reporting.transfer import sign, terminal
    from robench.store.files import write
    from robench.store.records import cell_folders

    if not (cells := cell_folders(results)):
        raise ConfigError(f"{results} holds no cells; robench run --results fills a folder")
    torch.set_num_threads(1)  # small networks: a second thread only waits
    rows, place = list[dict[str, object]](), choose(device)
    for group in _groups(cells):
        rows += _crossed(group, attack, images, checkpoint, data_root, place)
    if not rows:
        raise ConfigError(f"{results} has no two cells that could attack each other")
    frame, path = pd.DataFrame(rows, columns=list(COLUMNS)), results / FILE
    write(path, frame.to_csv(index=False, lineterminator="\n").encode())
    found, console = matrices(frame), Console(highlight=False)
    for matrix in found:
        with console.capture() as drawn:
            console.print(terminal(matrix), "")
        echo(drawn.get(), nl=False)
    signs = [one for matrix in found for one in matrix.signs]
    for one in signs:
        echo(f"warning: {sign(one)}", err=True)
    echo(path)
    return int(bool(signs))


def _groups(cells: "list[CellFolder]") -> "Iterator[list[Found]]":
    """Cells that were trained alike, by method; of the others a line each says why they are not."""
    from robench.errors import RobenchError
    from robench.store.records import read_record

    groups: dict[tuple[object, ...], list[Found]] = {}
    for cell in cells:
        try:
            record = read_record(cell.record)
        except RobenchError as error:
            _skip(str(error))
            continue
        key = tuple(record["identity"][name] for name in _ALIKE)
        groups.setdefault(key, []).append((cell, record))
    yield from (groups[key] for key in sorted(groups, key=str))


def _crossed(
    group: "list[Found]",
    attack: str,
    images: int,
    checkpoint: "Kept",
    data_root: Path,
    device: "torch.device",
) -> list[dict[str, object]]:
    """Rows of one group; none where fewer than two of its cells are whole."""
    from robench.evaluation.transferring import crossings

    models: dict[str, nn.Module] = {}
    records: dict[str, Found] = {}
    last: Reopened | None = None
    for label, cell, record in _labelled(group):
        if found := _opened(cell, checkpoint, data_root, device, images):
            models[label], records[label], last = found.model, (cell, record), found
    if last is None or len(models) < 2:
        names = ", ".join(cell.path.name for cell, _ in group)
        _skip(f"{names}: no other cell of its data, network, seed and ball can be attacked")
        return []
    identity, test = last.identity, last.data.test
    echo(f"{' '.join(str(identity[name]) for name in _ALIKE[:4])} seed {identity['seed']}: "
         f"{', '.join(models)}", err=True)  # fmt: skip
    seen = crossings(models, attack, test.x(), test.y, last.threat, identity["seed"], _skip)
    return _rows([*seen], records, {"checkpoint": checkpoint, "attack": attack})


def _labelled(group: "list[Found]") -> "Iterator[tuple[str, CellFolder, Plain]]":
    """Each cell under its label, with a part of its key where that is not its alone."""
    labels = [str(record["label"]) for _, record in group]
    for label, (cell, record) in zip(labels, group, strict=True):
        own = label if labels.count(label) == 1 else f"{label} #{record['key'][:8]}"
        yield own, cell, record


def _opened(
    cell: "CellFolder", checkpoint: "Kept", data_root: Path, device: "torch.device", images: int
) -> "Reopened | None":
    """A cell's network and data; none, with one line that says why, if it is not whole."""
    from robench.errors import RobenchError
    from robench.reopen import reopen

    try:
        return reopen(cell, checkpoint, data_root, device, test_limit=images)
    except RobenchError as error:
        _skip(str(error))
        return None


def _rows(
    seen: "list[Crossing]", records: "dict[str, Found]", shared: dict[str, str]
) -> list[dict[str, object]]:
    """A row of transfer.csv for each pair."""
    from robench.analysis.transfer import OTHERS, row

    own = {one.target: one.stands.numpy() for one in seen if one.source == one.target}
    found = []
    for one in seen:
        cell, record = records[one.target]
        beside = None if one.source == one.target else own.get(one.target)
        found.append(
            {
                **{name: record["identity"][name] for name in _ALIKE},
                **shared,
                "source": one.source or OTHERS,
                "target": one.target,
                "source_deviates": records[one.source][1]["deviates"] if one.source else "",
                "target_deviates": record["deviates"],
                **row(one.right.numpy(), one.stands.numpy(), beside),
                "cell": cell.path.name,
            }
        )
    return found


def _skip(why: str) -> None:
    echo(f"skipped: {why}", err=True)
