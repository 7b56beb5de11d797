"""Which files a plugin is made of: its own, those it imports from beside it, and theirs.

Found by reading, without running anything. What comes from robench or from installed packages does
not count: the protocol and the environment of a record stand for those.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

Parts = tuple[str, ...]
"""A module's name below its top package, split at the dots."""


def files(file: Path, module: str) -> set[Path]:
    """The file of a module, and every file of its own top package that it imports, and theirs."""
    top, *below = module.split(".")
    is_package = file.name == "__init__.py"
    if not below and not is_package:
        return {file}
    root = file.parents[len(below) - (not is_package)]
    found: set[Path] = set()
    todo = list(_found(root, tuple(below)))
    while todo:
        path, name = todo.pop()
        if path in found:
            continue
        found.add(path)
        package = name if path.name == "__init__.py" else name[:-1]
        for parts in _imported(ast.parse(path.read_bytes()), package, top):
            todo += _found(root, parts)
    return found


def files_of(value: object, counts: Callable[[str], bool]) -> set[Path]:
    """The files of modules that count which define what is in a value, with what those import."""
    found: set[Path] = set()
    for name in set(_modules(value)):
        module = sys.modules.get(name)
        if counts(name) and module is not None and module.__file__:
            found |= files(Path(module.__file__), name)
    return found


def packages(tree: ast.Module) -> list[str]:
    """Packages that a file cannot do without: those its first level imports by name."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append(node.module.partition(".")[0])
    return found


def _imported(tree: ast.Module, package: Parts, top: str) -> Iterator[Parts]:
    """Names below the top package that a file imports; some may be no modules but their parts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (tuple(rest) for first, *rest in names if first == top)
        elif isinstance(node, ast.ImportFrom):
            named = tuple(node.module.split(".")) if node.module else ()
            if node.level == 0:
                if named[0] != top:
                    continue
                base = named[1:]
            else:
                base = (*package[: len(package) - node.level + 1], *named)
            yield base
            yield from ((*base, alias.name) for alias in node.names)


def _found(root: Path, parts: Parts) -> Iterator[tuple[Path, Parts]]:
    """The files that importing a name runs: each package on the way, and the module."""
    for length in range(len(parts) + 1):
        name = parts[:length]
        place = root.joinpath(*name)
        candidates = [place / "__init__.py"] + [place.with_suffix(".py")] * bool(name)
        yield from ((path, name) for path in candidates if path.is_file())


def _modules(value: object) -> Iterator[str]:
    """Where a value's class and its ancestors, or a function, are defined; and all in it."""
    yield getattr(value, "__module__", None) or ""
    yield from (kind.__module__ for kind in type(value).__mro__)
    inside: Iterable[object] = ()
    if is_dataclass(value) and not isinstance(value, type):
        inside = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, tuple | list):
        inside = value
    for item in inside:
        yield from _modules(item)
