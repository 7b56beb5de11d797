"""A folder with the plugin ``fatal``, and commands in it as processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.fatal import FATAL
from tests.executors.outside import Outside


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "fatal.py").write_text(FATAL, encoding="utf-8")
    running = Outside(tmp_path)
    yield running
    running.end()
