"""Versions by the name a package is installed under, or the one it is imported by; entry points."""

from importlib import metadata
from pathlib import Path
from unittest import mock

import pytest

from robench.versions import entry_points, version


@pytest.mark.parametrize("name", ["scikit-learn", "sklearn"])
def test_either_name_will_do(name: str) -> None:
    assert version(name) == metadata.version("scikit-learn")


@pytest.mark.parametrize("name", ["no_such_package", "json"])  # absent; of no distribution
def test_what_is_no_package_has_none(name: str) -> None:
    assert version(name) is None


def install(folder: Path, name: str) -> None:
    """A package with one entry point."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "entry_points.txt").write_text(f"[tests.lab]\n{name} = json\n", encoding="utf-8")


def test_what_is_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for known in (["one"], ["one", "two"]):
        install(tmp_path, known[-1])
        assert sorted(entry.name for entry in entry_points("tests.lab")) == known
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [""])
    assert len(entry_points("tests.lab")) == 2


def test_what_is_installed_is_read_once() -> None:
    first = entry_points("robench.methods")
    with mock.patch.object(metadata, "entry_points", side_effect=AssertionError):
        assert entry_points("robench.methods") == first
