"""The transfer matrix as a table of 80 columns, in Markdown, and as a figure."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from rich.console import Console

from robench.analysis.transfer import OTHERS, Matrix, Sign
from robench.reporting import markdown, transfer
from robench.reporting.charts import drawing, paper
from robench.reporting.figures import transfer as figure
from tests.drawing import quickly_drawn

NAMES = ["natural", "madry", "trades[beta=1]", "awp[inner=trades]", "a", "b", "c", "d"]
SHARED: dict[str, object] = {
    "dataset": "mnist", "model": "lenet", "norm": "Linf", "eps": "0.3", "checkpoint": "best",
    "attack": "vmi-fgsm", "n": 200,
}  # fmt: skip


def matrix(count: int) -> Matrix:
    names = NAMES[:count]
    values = np.arange((count + 1) * count).reshape(count + 1, count) / 100
    values[0, 1] = np.nan
    return Matrix(
        SHARED,
        dict.fromkeys(names, 3) | {"madry": 1},
        pd.DataFrame(values, index=[*names, OTHERS], columns=names),
        pd.Series(0.95, index=names),
        {"madry": "lr=1 (shared 2)"},
        (Sign("madry", "natural", 0, 30, 2),),
    )


def test_a_table_says_what_its_numbers_are() -> None:
    found = matrix(3)
    assert transfer.title(found) == "Transfer: mnist, lenet, Linf 0.3, crafted by vmi-fgsm"
    assert transfer.header(found) == ["crafted on", "natural", "madry † (n=1)", "trades[beta=1]"]
    assert transfer.cells(found)[:2] == [
        ["no attack", "95.0", "95.0", "95.0"],
        ["natural", "0.0", "-", "2.0"],
    ]
    text = markdown.written(transfer.table(found))
    for part in ("### Transfer: mnist", "| all others | 9.0 | 10.0 | 11.0 |", "200 test images",
                 "mean of up to 3 seeds", "- † madry: lr=1 (shared 2)",
                 "madry seed 0 loses 30 images to natural", "which break 2 others"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("count", [2, 5, 8])
def test_a_terminal_of_80_columns_shows_every_number_and_name(count: int) -> None:
    found, console = matrix(count), Console(highlight=False, width=80)
    with console.capture() as drawn:
        console.print(transfer.terminal(found))
    text = drawn.get()
    assert max(map(len, text.splitlines())) <= 80
    for row in transfer.cells(found):
        assert all(cell in text for cell in row)
    for name in transfer.header(found):
        assert all(part in text for part in name.split())


def test_the_figure_has_every_number_and_frames_the_diagonal(tmp_path: Path) -> None:
    found = matrix(8)
    with quickly_drawn():
        path = paper.save(figure.chart(found), {}, tmp_path / "matrix")
        (axes,) = drawing.laid_out(figure.chart(found), {}).axes
    numbers = [text.get_text() for text in axes.texts]
    assert len(numbers) == 8 * 10 - 1
    assert numbers[:8] == ["95"] * 8
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    places = [tuple(map(round, frame.get_center())) for frame in frames]
    assert places == [(at, at + 1) for at in range(8)]
    assert [label.get_text() for label in axes.get_xticklabels()] == transfer.header(found)[1:]
    table = pd.read_csv(path.with_suffix(".csv"), index_col="source")
    assert np.allclose(table.to_numpy(), found.robust.to_numpy(), equal_nan=True)
