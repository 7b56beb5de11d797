"""Versions by the name a package is installed under, or the one it is imported by."""

from importlib import metadata

import pytest

from robench.versions import version


@pytest.mark.parametrize("name", ["scikit-learn", "sklearn"])
def test_either_name_will_do(name: str) -> None:
    assert version(name) == metadata.version("scikit-learn")


@pytest.mark.parametrize("name", ["no_such_package", "json"])  # absent; of no distribution
def test_what_is_no_package_has_none(name: str) -> None:
    assert version(name) is None
