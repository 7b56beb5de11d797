"""What was asked of a results folder: each grid as a file, and the cells that it is made of."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from robench.errors import StoreError
from robench.names import is_file_name
from robench.store.files import content_of, digest, read_json, write, write_json


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
    every, problems = grids(results)
    for cells in every.values():
        for name, evaluations in cells.items():
            found.setdefault(name, set()).update(evaluations)
    return found, problems


def grids(results: Path) -> tuple[dict[Path, dict[str, list[str]]], list[str]]:
    """The same grid by grid, under the configuration that asks for it again."""
    found: dict[Path, dict[str, list[str]]] = {}
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
        problems += [
            f"{path} names {name!r}, which is no cell's folder; not looked at"
            for name in cells
            if not is_file_name(name)
        ]
        found[path.with_suffix(".toml")] = {
            name: [*map(str, of)] for name, of in cells.items() if is_file_name(name)
        }
    return found, problems


def unite(source: Path, into: Path) -> list[str]:
    """Add what was asked of one results folder to what was asked of another; damaged files."""
    problems = []
    for path in sorted((source / "grids").glob("*.json")):
        target = into / "grids" / path.name
        try:
            ours = read_json(target) if target.exists() else {}
            theirs = read_json(path)
            if not all(isinstance(names, list) for names in [*ours.values(), *theirs.values()]):
                problems.append(f"{path} or {target} holds no cells; not merged")
                continue
            both = {n: {*ours.get(n, []), *theirs.get(n, [])} for n in ours.keys() | theirs.keys()}
            grid = path.with_suffix(".toml")
            if grid.is_file() and not grid.is_symlink():
                write(target.with_suffix(".toml"), content_of(grid))
            write_json(target, {name: sorted(map(str, of)) for name, of in both.items()})
        except StoreError as error:
            problems.append(str(error))
    return problems
