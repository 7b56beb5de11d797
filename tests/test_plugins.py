"""Finding plugin files, and what is said of broken ones."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from robench import plugins
from robench.errors import PluginError
from robench.training.method import method, presets

GOOD = '''"""Mine: a test method (nobody, nowhere)."""

from __future__ import annotations

from dataclasses import dataclass

from robench.training.method import Method

from ._shared import SIZE


@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    """Nothing."""

    size: int = SIZE


presets = {"*": Mine()}
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder's ``methods``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "_shared.py").write_text("SIZE = 3\n", encoding="utf-8")
    return tmp_path / "methods"


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_a_file_in_the_current_folder_is_found_and_may_use_its_neighbours(folder: Path) -> None:
    write(folder, "mine", GOOD)
    source = plugins.get("methods", "mine")
    assert source.summary() == "Mine: a test method (nobody, nowhere)."
    assert source.load().presets["*"].size == 3
    assert "trades" in plugins.find("methods")
    assert "_shared" not in plugins.find("methods")


def test_the_digest_covers_the_file_and_its_neighbours(folder: Path) -> None:
    write(folder, "mine", GOOD)
    before = plugins.get("methods", "mine").digest()
    write(folder, "other", GOOD)
    assert plugins.get("methods", "mine").digest() == before
    write(folder, "_shared", "SIZE = 4\n")
    changed = plugins.get("methods", "mine").digest()
    write(folder, "mine", GOOD + "\n")
    assert len({before, changed, plugins.get("methods", "mine").digest()}) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import nothing_like_this\n", "imports 'nothing_like_this', which is not installed"),
        ("def broken(:\n", "does not parse"),
        ("raise ValueError('no luck')\n", "fails to load: ValueError: no luck"),
        ("from robench.errors import NoSuchThing\n", "fails to load: ImportError"),
    ],
)
def test_a_broken_file_breaks_only_itself(folder: Path, text: str, problem: str) -> None:
    write(folder, "broken", text)
    assert {"broken", "trades"} <= plugins.find("methods").keys()
    with pytest.raises(PluginError, match=problem) as error:
        plugins.get("methods", "broken").load()
    assert "broken.py" in str(error.value)
    assert method("trades")


@pytest.mark.parametrize(
    "text",
    ['"""A: b."""\n', '"""A: b."""\npresets = {}\n', '"""A: b."""\npresets = {"*": 3}\n'],
)
def test_a_file_without_presets_is_told_what_to_write(folder: Path, text: str) -> None:
    write(folder, "empty", text)
    with pytest.raises(PluginError, match=r"has no presets; end its file with: presets = "):
        presets("empty")


def test_two_files_with_one_name(folder: Path) -> None:
    write(folder, "trades", GOOD)
    found = plugins.find("methods")
    assert "rename one" in found["trades"].problem
    with pytest.raises(PluginError, match=r"two methods are called 'trades': .* and .*; rename"):
        plugins.get("methods", "trades").load()
    assert method("madry")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_package.mine", "there is no module 'no_such_package.mine'"),
        ("json.no_such_module", "there is no module 'json.no_such_module'"),
    ],
)
def test_a_broken_entry_point_breaks_only_itself(
    value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entries(group: str) -> list[EntryPoint]:
        return [EntryPoint("lab", value, group)] * (group == "robench.methods")

    monkeypatch.setattr(plugins, "entry_points", entries)
    found = plugins.find("methods")
    assert problem in found["lab"].problem
    assert not found["trades"].problem
    with pytest.raises(PluginError, match=problem):
        method("lab")


def test_two_copies_of_one_plugin_are_one(folder: Path) -> None:
    write(folder, "madry", plugins.get("methods", "madry").path().read_text(encoding="utf-8"))
    assert plugins.find("methods")["madry"].problem == ""


def test_neighbours_of_one_name_in_two_folders_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number) / "methods"
        folder.mkdir(parents=True)
        write(folder, "_shared", f"SIZE = {number}\n")
        write(folder, "mine", GOOD)
        monkeypatch.chdir(folder.parent)
        assert plugins.get("methods", "mine").load().presets["*"].size == number


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(PluginError, match="no method is called 'tradse'; did you mean 'trades'"):
        plugins.get("methods", "tradse")


def test_what_is_edited_is_what_runs(tmp_path: Path) -> None:
    for size in (3, 4):  # as if copied with its time: cached bytecode of the first looks fresh
        folder = tmp_path / "methods"
        folder.mkdir(exist_ok=True)
        write(folder, "_shared", f"SIZE = {size}\n")
        write(folder, "mine", "from ._shared import SIZE\n")
        code = "from robench import plugins; print(plugins.get('methods', 'mine').load().SIZE)"
        for path in folder.glob("*.py"):
            os.utime(path, (1, 1))
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        )  # fmt: skip
        assert done.stdout == f"{size}\n"


def test_other_files_in_the_folder_are_no_plugins(folder: Path) -> None:
    (folder / ".#mine.py").symlink_to("nobody@nowhere")
    (folder / "trades.py").mkdir()
    (folder / "gone.py").symlink_to(folder / "nowhere.py")
    found = plugins.find("methods")
    assert not found["trades"].problem
    assert ".#mine" not in found
    assert "No such file" in found["gone"].problem


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "*", "TRADES.py"])
def test_names_never_become_paths(name: str) -> None:
    with pytest.raises(PluginError, match="no method is called"):
        plugins.get("methods", name)
