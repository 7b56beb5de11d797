"""The gallery: three rows, a column for each image that fell, and its numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from robench.analysis.rows import TrainedCell
from robench.evaluation.examples import Examples
from robench.reporting.charts import drawing, paper
from robench.reporting.figures import gallery
from robench.store.records import CellFolder
from tests.drawing import quickly_drawn

RECORDS: dict[str, dict[str, Any]] = {
    "cell.json": {
        "label": "awp[inner=trades]",
        "identity": {"seed": 3, "dataset": "mnist", "model": "lenet"},
    },
    "one.json": {
        "identity": {"checkpoint": "best", "suite": "standard", "norm": "Linf", "eps": "1/8"},
    },
}


def examples(fell: int, channels: int) -> Examples:
    rng = np.random.default_rng(0)
    clean = rng.uniform(0.2, 0.8, (20, channels, 6, 6)).astype(np.float32)
    at = np.arange(0, 2 * fell, 2) if fell <= 10 else np.arange(fell)
    moved = (
        0.125
        * rng.choice([-1, 1], (fell, channels, 6, 6))
        / (1 + np.arange(fell))[:, None, None, None]
    )
    y = np.arange(20) % 10
    return Examples(
        clean=clean, y=y, natural=y, position=at, labels=(y[at] + 3) % 10,
        adversarial=(clean[at] + moved).astype(np.float32), attack=np.arange(fell) % 2,
        attacks=("apgd-ce", "square"), first=20,
    )  # fmt: skip


def drawn(
    found: Examples, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Figure, pd.DataFrame]:
    monkeypatch.setattr(gallery, "read", lambda *_: found)
    cell = TrainedCell(CellFolder(folder), RECORDS["cell.json"], {})
    chart = gallery.chart(cell, folder / "one.json", RECORDS["one.json"])
    with quickly_drawn():
        path = paper.save(chart, {}, folder / "gallery")
        figure = drawing.laid_out(chart, {})
    assert path == folder / "gallery.png"
    return figure, pd.read_csv(path.with_suffix(".csv"))


def pictures(figure: Figure) -> list[npt.NDArray[Any]]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fell", [1, 4, 10, 13])
def test_a_column_an_image(
    fell: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examples(fell, channels)
    figure, table = drawn(found, tmp_path, monkeypatch)
    columns = min(fell, 10)
    shown = pictures(figure)
    assert len(shown) == 3 * columns
    for column in range(columns):
        clean, added, adversarial = shown[column::columns]
        image = np.moveaxis(found.clean[found.position[column]], 0, -1)
        assert (clean == image).all()  # one colour is the same three times
        assert np.allclose(adversarial - clean, (added - 0.5) / 4, atol=1e-6)  # x 4 = 0.5 / 0.125
        title = figure.axes[column].get_title()
        y, label = table.loc[column, ["y", "adversarial_label"]]
        assert title.split("\n") == [f"{y} -> {label}", table.loc[column, "attack"]]
    assert np.ptp(shown[columns]) == pytest.approx(1)  # from black to white
    words = figure.get_suptitle()
    for part in ("awp[inner=trades] seed 3, mnist, lenet, best checkpoint",
                 "suite standard, Linf 1/8 perturbation x 4 around grey",
                 f"{columns} of the {fell} that fell among the first 20 test images"):  # fmt: skip
        assert part in words.replace("\n", " ")
    assert list(table["position"]) == list(found.position[:columns])
    assert np.allclose(table["distance"], 0.125 / (1 + np.arange(columns)), atol=1e-6)


def test_nothing_outgrows_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDS["cell.json"], "label", "trades_ls[smoothing=0.3,beta=6]" * 4)
    figure, _ = drawn(examples(2, 1), tmp_path, monkeypatch)
    box = figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.x1 <= figure.get_figwidth()
    assert box.y1 <= figure.get_figheight()


def test_an_image_that_fell_unmoved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examples(1, 1)
    still = replace(found, adversarial=found.clean[found.position])
    figure, table = drawn(still, tmp_path, monkeypatch)
    assert (pictures(figure)[1] == 0.5).all()
    assert table["distance"].tolist() == [0]
