"""Every method found keeps the contract; `robench check` says the same to a plugin's author."""

import pytest

from robench import plugins
from robench.check.check import check

SOURCES = plugins.find("methods")


@pytest.mark.parametrize("name", SOURCES)
def test_method_keeps_its_contract(name: str) -> None:
    findings = list(check(SOURCES[name]))
    assert len(findings) > 5
    assert [f"{f.what}: {f.problem}" for f in findings if f.problem] == []
