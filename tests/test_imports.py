"""A plugin's files are its own and those it imports from its own package, however it imports."""

import sys
from pathlib import Path

import pytest

from robench import imports, plugins
from robench.training.method import method

PACKAGE = {
    "__init__.py": "",
    "losses.py": "from .deep import numbers\n",
    "deep/__init__.py": "",
    "deep/numbers.py": "import math\n",
    "deep/unused.py": "",
    "zoo/__init__.py": "from ourlab import helpers\n",
    "helpers.py": "",
    "far.py": "import ourlab.losses\n",
}

USER = '''"""User: trains another method's way (nobody, nowhere)."""

from dataclasses import dataclass, field

from robench.training.method import Method, method


@dataclass(frozen=True, kw_only=True)
class User(Method):
    """Borrows a loss."""

    inner: Method = field(default_factory=lambda: method("base"))


presets = {"*": User()}
'''

BASE = '''"""Base: a constant (nobody, nowhere)."""

from dataclasses import dataclass

from robench.training.method import Method


@dataclass(frozen=True, kw_only=True)
class Base(Method):
    """Nothing."""

    size: int = 1


presets = {"*": Base()}
'''


@pytest.fixture
def ourlab(tmp_path: Path) -> Path:
    """A small package, as one that entry points name."""
    for name, text in PACKAGE.items():
        (tmp_path / "ourlab" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ourlab" / name).write_text(text, encoding="utf-8")
    return tmp_path / "ourlab"


def found(folder: Path, text: str, at: str = "zoo/mine.py") -> set[str]:
    """Files below the package that a module with this text is made of."""
    (folder / at).write_text(text, encoding="utf-8")
    module = ".".join(("ourlab", *Path(at).with_suffix("").parts))
    return {str(file.relative_to(folder)) for file in imports.files(folder / at, module)}


ALWAYS = {"__init__.py", "zoo/__init__.py", "helpers.py", "zoo/mine.py"}
"""Importing a module runs the packages around it, and what they import."""


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("", set()),
        ("import torch\nfrom torch import nn\nfrom robench.errors import ConfigError\n", set()),
        ("from ourlab.losses import x\n", {"losses.py", "deep/__init__.py", "deep/numbers.py"}),
        ("from ourlab import losses\n", {"losses.py", "deep/__init__.py", "deep/numbers.py"}),
        ("from .. import losses\n", {"losses.py", "deep/__init__.py", "deep/numbers.py"}),
        ("from ..deep.numbers import x\n", {"deep/__init__.py", "deep/numbers.py"}),
        ("def f():\n    import ourlab.deep\n", {"deep/__init__.py"}),
        (
            "import ourlab.far as far\n",
            {"far.py", "losses.py", "deep/__init__.py", "deep/numbers.py"},
        ),
    ],
)
def test_what_is_imported_counts(ourlab: Path, text: str, more: set[str]) -> None:
    assert found(ourlab, text) == ALWAYS | more


def test_a_single_module_is_itself(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import os\n", encoding="utf-8")
    assert imports.files(tmp_path / "alone.py", "alone") == {tmp_path / "alone.py"}


def test_a_method_that_runs_with_another_depends_on_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "user.py").write_text(USER, encoding="utf-8")
    base = tmp_path / "methods" / "base.py"
    base.write_text(BASE, encoding="utf-8")
    source, chosen = plugins.get("methods", "user"), method("user", changes={"inner.size": "3"})
    before = source.digest(chosen)
    assert before != source.digest()
    base.write_text(BASE + "\n", encoding="utf-8")
    assert source.digest(chosen) != before


def test_a_borrowed_parent_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "methods").mkdir()
    base = tmp_path / "methods" / "base.py"
    base.write_text(BASE, encoding="utf-8")
    (tmp_path / "methods" / "child.py").write_text(
        '"""Child: of another method (nobody, nowhere)."""\n'
        "from robench.training.method import method\n"
        "class Child(type(method('base'))):\n    pass\n"
        "presets = {'*': Child()}\n",
        encoding="utf-8",
    )
    source, chosen = plugins.get("methods", "child"), method("child")
    before = source.digest(chosen)
    base.write_text(BASE + "\n", encoding="utf-8")
    assert source.digest(chosen) != before


def test_files_that_swap_their_contents_are_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "methods").mkdir()
    found = set()
    for p, q in (("A = 1\n", "A = 2\n"), ("A = 2\n", "A = 1\n")):
        for name, text in (("_p", p), ("_q", q), ("mine", "from . import _p, _q\n")):
            (tmp_path / "methods" / f"{name}.py").write_text(text, encoding="utf-8")
        found.add(plugins.get("methods", "mine").digest())
    assert len(found) == 2


def test_settings_of_robench_and_of_libraries_add_nothing() -> None:
    source = plugins.get("methods", "trades")
    assert source.digest(method("trades")) == source.digest()
    assert imports.files_of([sys.exit, Path, {"a": 1}], lambda name: name == "x") == set()
