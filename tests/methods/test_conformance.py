"""Every method found keeps the contract; `robench check` says the same to a plugin's author."""

import inspect
import re

import pytest

from robench import plugins
from robench.check.check import check
from robench.training.method import method

SOURCES = plugins.find("methods")


@pytest.mark.parametrize("name", SOURCES)
def test_method_keeps_its_contract(name: str) -> None:
    findings = list(check(SOURCES[name]))
    assert len(findings) > 5
    assert [f"{f.what}: {f.problem}" for f in findings if f.problem] == []


@pytest.mark.parametrize("name", SOURCES)
def test_its_page_says_what_it_reduces_to_and_how_it_departs_from_its_source(name: str) -> None:
    page = inspect.getdoc(type(method(name))) or ""
    assert re.search(r"^Reduces to:\s", page, re.MULTILINE)
    # Natural training has no source to depart from.
    assert name == "natural" or re.search(r"^Differs from [^.]+?:\s", page, re.MULTILINE)


@pytest.mark.parametrize("name", SOURCES)
def test_a_plugin_file_stays_short(name: str) -> None:
    lines = SOURCES[name].path().read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
