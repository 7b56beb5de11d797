"""Cells as a person names them."""

from pathlib import Path

from robench.errors import ConfigError
from robench.store.records import CellFolder, cell_folders

_MOST = 5
"""Candidates that a message names."""


def cell_named(text: str, results: Path) -> CellFolder:
    """A cell by its folder, its name or a unique beginning of it.

    Raises:
        ConfigError: there is no such cell, or several are.
    """
    if (Path(text) / "cell.json").is_file():
        return CellFolder(Path(text).resolve())
    there = {cell.path.name: cell for cell in cell_folders(results)}
    found = [name for name in there if name.startswith(text)]
    if text in there or len(found) == 1:
        return there[text if text in there else found[0]]
    if found:
        raise ConfigError(f"several cells are called {text!r}...: {_some(found)}")
    if not there:
        raise ConfigError(f"{text!r} is no cell's folder, and {results} holds no cells")
    raise ConfigError(f"no cell below {results} is called {text!r}; there are: {_some([*there])}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
