"""From rows of measures to tables: which numbers have a place."""

import math

import pandas as pd
import pytest

from robench.analysis.measured import SHARED, measured

NO_CURVES = pd.DataFrame({"key": [], "measure": [], "curve": []})


def row(method: str, measure: str, value: float) -> dict[str, object]:
    """One number of an evaluation."""
    row: dict[str, object] = dict.fromkeys(SHARED, "x")
    row |= {"method": method, "settings": "", "seed": 0, "status": "ok", "key": method}
    row |= {"plugin": "p", "settings_key": method, "note": "", "name": "", "measure": measure}
    return row | {"value": value, "low": value, "high": value, "n": 9}


def test_a_number_that_no_method_has_is_no_row_and_one_that_some_lack_is() -> None:
    numbers = [("madry", "snow", math.nan), ("madry", "ball", math.nan), ("madry", "fog", 0.5)]
    numbers += [("atop", "snow", 0.125), ("atop", "ball", math.nan), ("atop", "fog", 0.25)]
    (table,) = measured(pd.DataFrame([row(*number) for number in numbers]), NO_CURVES)
    assert table.names == ("snow", "fog")  # in the order of the measure
    assert table.columns["madry"].keys() == {"fog"}
    assert table.columns["atop"]["snow"].mean == pytest.approx(0.125)
