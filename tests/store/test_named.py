"""Cells as a person names them."""

from pathlib import Path

import pytest

from robench.errors import ConfigError
from robench.store.named import cell_named


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("madry-s0-1234", "madry-s0-12", "trades-s1-9", "locked-s0-1"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        (tmp_path / "cells" / name / "cell.json").touch()
    (tmp_path / "cells" / "locked-s0-1" / "cell.json").rename(tmp_path / "cells/locked-s0-1/.lock")
    return tmp_path


def test_by_folder_name_and_beginning(results: Path) -> None:
    there = results / "cells" / "trades-s1-9"
    for text in (str(there), f"{there}/", "trades-s1-9", "trades", "t"):
        assert cell_named(text, results).path == there
    assert cell_named("madry-s0-12", results).path.name == "madry-s0-12"  # its own, though others'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("madry", r"several cells are called 'madry'...: madry-s0-12, madry-s0-1234"),
        ("natural", r"no cell below .* is called 'natural'; there are: madry-s0-12, madry-s0-1234"),
        ("locked", "no cell below"),
        ("..", "no cell below"),
    ],
)
def test_others_name_the_candidates(text: str, message: str, results: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        cell_named(text, results)


def test_without_any_cells(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no cells"):
        cell_named("x", tmp_path)
