"""train.csv: whole after every epoch, one row each, the method's own columns at the end."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from robench.errors import PluginError
from robench.events import Epoch
from robench.store.curve import Curve

EPOCH = Epoch(
    cell="a", epoch=1, epochs=3, stage="train", lr=0.1, loss=2.0, validation_natural=None,
    validation_robust=None, seconds=1.5, forwards=10, backwards=5, log={"kl": 0.3},
)  # fmt: skip


def test_every_epoch_is_a_row(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "train.csv")
    for number in (1, 2, 3):
        curve.add(replace(EPOCH, epoch=number, log={"kl": 0.3} if number > 1 else {}))
        assert list(pd.read_csv(curve.path)["epoch"]) == list(range(1, number + 1))
    found = pd.read_csv(curve.path)
    assert found.columns[-1] == "kl"
    assert found["kl"].isna().tolist() == [True, False, False]
    assert curve.costs() == {"forwards": 30, "backwards": 15}


def test_a_method_cannot_write_over_what_is_measured(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "train.csv")
    with pytest.raises(PluginError, match=r"logs \['loss'\], which train.csv has already"):
        curve.add(replace(EPOCH, log={"loss": 0.0}))
