"""Which packages are here, found without importing them."""

from importlib import metadata


def version(package: str) -> str | None:
    """An installed package's version; none when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
