"""Every suite found keeps the contract; `robench check` says the same to a plugin's author."""

import pytest

from robench import plugins
from robench.adversary.suite import suite
from robench.check.check import check
from robench.errors import ConfigError

SOURCES = plugins.find("attacks")


@pytest.mark.parametrize("name", SOURCES)
def test_suite_keeps_its_contract(name: str) -> None:
    try:
        suite(name).check(name, suite(name).norms[0])
    except ConfigError as missing:
        pytest.skip(str(missing))
    findings = list(check(SOURCES[name]))
    assert len(findings) > (2 if suite(name).measures else 4)
    assert [f"{f.what}: {f.problem}" for f in findings if f.problem] == []


def test_only_autoattack_gives_a_full_verdict() -> None:
    full = {name for name in SOURCES if suite(name).verdict == "full"}
    assert full == {"autoattack", "plus", "standard"}
