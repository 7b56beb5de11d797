"""Import plugin files from their source: what a digest was taken of is what runs.

Python takes a file's cached bytecode for fresh when its time and size are the old ones, which a
copied or quickly edited file may have. Plugin files and their neighbours are compiled anew.
"""

import hashlib
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

_PREFIX = "robench_plugins_"


def load(path: Path) -> ModuleType:
    """The module of a plugin file, imported once; its folder is a package of its own.

    So neighbours of one name in two folders do not mix.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    package = _package_of(path.parent)
    importlib.invalidate_caches()
    return importlib.import_module(f"{package}.{path.stem}")


def is_loaded_here(module: str) -> bool:
    """Whether a module came from a plugin folder."""
    return module.startswith(_PREFIX)


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not is_loaded_here(fullname):
            return None
        for folder in path:
            spec = FileFinder(folder, (_Loader, SOURCE_SUFFIXES)).find_spec(fullname)
            if spec is not None:
                return spec
        return None


def _package_of(folder: Path) -> str:
    name = f"{_PREFIX}{hashlib.sha256(bytes(folder)).hexdigest()[:8]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name
