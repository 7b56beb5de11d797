"""Every suite found keeps the contract; `robench check` says the same to a plugin's author."""

from collections.abc import Mapping

import pytest

from robench import plugins
from robench.adversary import packages
from robench.adversary.suite import suite
from robench.check.check import check
from robench.errors import ConfigError

SOURCES = plugins.find("attacks")
CAPS = {"n_iter": 10, "n_restarts": 2, "n_target_classes": 2, "n_queries": 100}


def capped(budgets: Mapping[packages.Component, Mapping[str, Mapping[str, int]]]) -> object:
    """What our own attacks are asked for in a check, asked of the package's."""
    return {
        component: {
            part: {name: min(value, CAPS[name]) for name, value in budget.items()}
            for part, budget in parts.items()
        }
        for component, parts in budgets.items()
    }


@pytest.mark.parametrize("name", SOURCES)
def test_suite_keeps_its_contract(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for budgets in ("BUDGETS", "IN_L1"):
        monkeypatch.setattr(packages, budgets, capped(getattr(packages, budgets)))
    try:
        suite(name).check(name, suite(name).norms[0])
    except ConfigError as missing:
        pytest.skip(str(missing))
    findings = list(check(SOURCES[name]))
    assert len(findings) > (2 if suite(name).measures else 4)
    assert [f"{f.what}: {f.problem}" for f in findings if f.problem] == []


def test_only_autoattack_gives_a_full_verdict() -> None:
    full = {name for name in SOURCES if suite(name).verdict == "full"}
    assert full == {"autoattack", "l1", "plus", "standard"}
