"""What commands print can be shown by any terminal."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from robench.cli.main import main
from tests.conftest import Outcome

Robench = Callable[..., Outcome]


def test_a_terminal_without_a_character_gets_it_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text('"""Mine: \u05d0."""\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    with pytest.raises(SystemExit) as end:
        main(["list", "methods"])
    assert end.value.code == 0
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    assert b"Mine: \\u05d0." in buffer.getvalue()


def test_a_docstring_cannot_drive_the_terminal(robench: Robench, tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    text = '"""Mine: \x1b]0;title\x07 and \u202eback."""\n'
    (tmp_path / "methods" / "mine.py").write_text(text, encoding="utf-8")
    assert "Mine: \\x1b]0;title\\x07 and \\u202eback." in robench("list", "methods").out
