"""What was asked of a results folder: each grid as a file, and the cells that it is made of."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from robench.errors import StoreError
from robench.names import is_file_name
from robench.store.files import digest, read_json, write, write_json


def keep(results: Path, grid: str, cells: Mapping[str, Iterable[str]]) -> None:
    """Leave a grid's configuration beside its results, and the names of its cells' evaluations.

    ``robench run --config`` with that file asks for the same again.
    """
    stem = results / "grids" / digest(grid)[:8]
    write(stem.with_suffix(".toml"), grid.encode())
    write_json(stem.with_suffix(".json"), {name: sorted(set(of)) for name, of in cells.items()})


def asked(results: Path) -> tuple[dict[str, set[str]], list[str]]:
    """Every cell that any grid asked for, with its evaluations, by name; and damaged files."""
    found: dict[str, set[str]] = {}
    problems = []
    for path in sorted((results / "grids").glob("*.json")):
        try:
            cells = read_json(path)
        except StoreError as error:
            problems.append(str(error))
            continue
        if not all(isinstance(names, list) for names in cells.values()):
            problems.append(f"{path} holds no cells")
            continue
        for name, evaluations in cells.items():
            if not is_file_name(name):
                problems.append(f"{path} names {name!r}, which is no cell's folder; not looked at")
                continue
            found.setdefault(name, set()).update(map(str, evaluations))
    return found, problems
