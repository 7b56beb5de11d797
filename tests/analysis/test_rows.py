"""Training curves as tidy rows: what pandas reads from train.csv, and what is no curve."""

import io
from pathlib import Path

import pandas as pd
import pytest

from robench.analysis.rows import OF_CELL, TrainedCell, epochs
from robench.errors import StoreError
from robench.settings import Plain
from robench.store.records import CellFolder

COLUMNS = {**dict.fromkeys(OF_CELL, "x"), "cell": "a"}

CURVE = """epoch,stage,lr,loss,validation_natural,forwards,backwards,radius,steps
1,train,0.0005882352941176471,2.374177932739258,,11858,11858,1e-07,3
2,train,0.1,nan,0.30640670657157898,11858,11858,-2.5,4
3,tune,0.1,inf,0.5,11858,11858
"""


def cell(folder: Path, text: str, record: Plain | None = None) -> TrainedCell:
    (folder / "train.csv").write_text(text, encoding="utf-8")
    return TrainedCell(CellFolder(folder), record or {}, COLUMNS)


def test_a_curve_is_what_pandas_reads(tmp_path: Path) -> None:
    found = pd.DataFrame(epochs(cell(tmp_path, CURVE))).drop(columns=[*COLUMNS])
    pd.testing.assert_frame_equal(found, pd.read_csv(io.StringIO(CURVE)))


def test_the_sealed_record_goes_before_the_file(tmp_path: Path) -> None:
    (row,) = epochs(cell(tmp_path, CURVE, {"curve": ["epoch,loss", "7,0.5"]}))
    assert (row["epoch"], row["loss"]) == (7, 0.5)
    assert epochs(cell(tmp_path, CURVE, {"curve": []})) == []


@pytest.mark.parametrize(
    "text",
    [
        "epoch,loss\n1.5,2\n", "epoch,loss\n1,two\n", "epoch,loss\n1,1_0\n", "loss\n1\n",
        "epoch,loss\n1,2,3\n", "epoch,epoch\n1,2\n", "epoch,cell\n1,2\n", "epoch\n9" + 20 * "9",
        "epoch,loss\n,2\n", "", "\n", "epoch,loss\n1,\0\n",
    ],
)  # fmt: skip
def test_what_is_no_curve_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"train\.csv"):
        epochs(cell(tmp_path, text))


def test_a_header_alone_is_no_row(tmp_path: Path) -> None:
    assert epochs(cell(tmp_path, "epoch,loss\n\n")) == []


def test_no_file_is_no_curve(tmp_path: Path) -> None:
    assert epochs(TrainedCell(CellFolder(tmp_path), {}, COLUMNS)) == []
