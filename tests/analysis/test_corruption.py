"""Errors under corruptions by natural training's: against a slow loop, and where there are none."""

import numpy as np
import pandas as pd
import pytest

from robench.analysis.corruption import NAME, with_mce
from robench.analysis.measured import SHARED, measured
from robench.data.corruptions.catalogue import KINDS, shown

RNG = np.random.default_rng(0)


def evaluation(method: str, at: int, **other: object) -> pd.DataFrame:
    """Rows of one evaluation, with accuracies of all kinds and one more number."""
    names = ["mean accuracy", *map(shown, KINDS)]
    common: dict[str, object] = dict.fromkeys(SHARED, "x")
    common |= {"train_limit": None, "test_limit": None}
    common |= {"method": method, "settings": "", "seed": at, "measure": "made", "status": "ok"}
    common |= {"key": f"{method}{at}{other}", "plugin": "p", "settings_key": method, "note": ""}
    rows = [common | {"name": name, "value": RNG.uniform(0.2, 0.9), "n": 9} for name in names]
    return pd.DataFrame([row | {"low": 0.1, "high": 0.9} | other for row in rows])


def errors(frame: pd.DataFrame) -> list[float]:
    values = dict(zip(frame["name"], frame["value"], strict=True))
    return [1 - values[shown(kind)] for kind in KINDS]


def added(frame: pd.DataFrame) -> dict[str, float]:
    """By key; of evaluations that have one."""
    rows = frame[frame["name"] == NAME]
    return dict(zip(rows["key"], rows["value"], strict=True))


def test_each_kinds_error_is_divided_by_natural_trainings_of_the_seed() -> None:
    cells = [evaluation(m, s) for s in (0, 1) for m in ("madry", "natural", "trades")]
    measures = pd.concat(cells, ignore_index=True)
    found = with_mce(measures)
    assert found.iloc[: len(measures)].equals(measures.astype(found.dtypes))
    for at, cell in enumerate(cells):
        plain = cells[3 * (at // 3) + 1]
        wanted = np.mean([e / p for e, p in zip(errors(cell), errors(plain), strict=True)])
        assert added(found)[cell["key"].iloc[0]] == pytest.approx(wanted)
    (table,) = measured(found, pd.DataFrame({"key": [], "measure": [], "curve": []}))
    assert table.names[-1] == NAME
    assert table.columns["natural"][NAME].mean == pytest.approx(1)


@pytest.mark.parametrize(
    "other", [{"eps": "1/8"}, {"test_limit": 60}, {"seed": 1}, {"settings": "a=1"}, {"suite": "b"}]
)
def test_nothing_is_compared_with_another_table_or_seed(other: dict[str, object]) -> None:
    found = with_mce(pd.concat([evaluation("madry", 0), evaluation("natural", 0, **other)]))
    assert not [key for key in added(found) if key.startswith("madry")]


def test_where_natural_training_makes_no_error_there_is_no_ratio() -> None:
    plain = evaluation("natural", 0)
    plain.loc[plain["name"] == "noise, shot", "value"] = 1.0
    assert added(with_mce(pd.concat([evaluation("madry", 0), plain]))) == {}
    two = [evaluation("natural", 0), evaluation("natural", 0, key="another version")]
    assert added(with_mce(pd.concat([evaluation("madry", 0), *two]))) == {}


def test_other_measures_stay_as_they_are() -> None:
    frame = evaluation("natural", 0)
    frame = frame[frame["name"] == "mean accuracy"]
    assert with_mce(frame) is frame
