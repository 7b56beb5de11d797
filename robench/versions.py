"""Which packages are here, found without importing them."""

from functools import cache
from importlib import metadata
from importlib.util import find_spec


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
