"""Which packages are here, found without importing them."""

import sys
from functools import cache, lru_cache
from importlib import metadata
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path


@cache
def version(package: str) -> str | None:
    """An installed package's version, by its own name or the one it is imported by.

    None when no distribution of it is known.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        if find_spec(package) is None:  # all that is installed need not be read, which takes long
            return None
        names = metadata.packages_distributions().get(package, [])
        return metadata.version(names[0]) if names else None


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """What installed packages offer to a group.

    To find out, a file of each of them is read: a plan of many cells asks a thousand times. So they
    are read again only when a folder that Python looks in has changed since.
    """
    return _entry_points(group, tuple((folder, _changed(folder)) for folder in sys.path))


@lru_cache(maxsize=16)
def _entry_points(
    group: str, folders: tuple[tuple[str, tuple[int, int]], ...]
) -> tuple[EntryPoint, ...]:
    return tuple(metadata.entry_points(group=group))


def _changed(folder: str) -> tuple[int, int]:
    """Another number when something was put into a folder or taken from it; the first is whose."""
    try:
        found = Path(folder).stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
