"""Imports go one way, and the rooms that need no torch have none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import robench

ROOT = Path(robench.__file__).parent

ROOMS = [
    "errors", "names", "printable", "archives", "radius", "versions", "settings", "imports",
    "loading", "plugins", "events", "keeping", "watch", "seeds", "device", "intervals", "threat",
    "data", "models", "adversary", "training", "store", "saving", "evaluation", "chosen", "plan",
    "analysis", "upkeep", "reporting", "check", "entries", "networks", "work", "left", "forecast",
    "mending", "run", "executors", "reopen", "templates", "cli",
]  # fmt: skip
"""In the order in which data flows: a room may use those above it, never those below."""

LIGHT = [
    "robench", "robench.errors", "robench.names", "robench.radius", "robench.versions",
    "robench.settings", "robench.plugins", "robench.events", "robench.data.catalogue",
    "robench.models.catalogue", "robench.archives", "robench.training.recipe", "robench.store.cell",
    "robench.store.grid", "robench.store.records", "robench.store.provenance",
    "robench.analysis.summary", "robench.analysis.table", "robench.analysis.transfer",
    "robench.reporting.report", "robench.reporting.transfer", "robench.cli.transfer_command",
    "robench.cli.main", "robench.cli.list_command", "robench.cli.status_command",
    "robench.cli.report_command", "robench.cli.show_command", "robench.evaluation.flags",
    "robench.analysis.regression", "robench.analysis.contrast", "robench.upkeep.merging",
    "robench.upkeep.cleaning", "robench.analysis.robustbench", "robench.cli.compare_command",
    "robench.cli.diff_command", "robench.cli.merge_command", "robench.cli.clean_command",
    "robench.cli.export_command",
    "robench.evaluation.probes.chance", "robench.evaluation.probes.read_off",
    "robench.analysis.adversarial", "robench.reporting.figures.gallery",
    "robench.reporting.page.html",
]  # fmt: skip

PACKAGES = [
    "click",
    "matplotlib.figure",
    "msgspec",
    "numpy",
    "pandas",
    "rich.console",
    "scipy.stats",
]
"""What they take long to import, and may."""


def used_by(file: Path) -> set[str]:
    """Rooms that a file imports, at its first level or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "robench":
            parts = str(node.module).split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found - {"__version__"}


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_upwards_in_the_list(file: Path) -> None:
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[0] in ("__init__", "methods", "attacks"):  # plugins copied in by an installation
        return
    room = ROOMS.index(parts[0])
    below = used_by(file) - set(ROOMS[: room + 1])
    assert not below, f"{file.name} uses {below}"


def test_every_room_is_in_the_list() -> None:
    there = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms = there - {"__init__", "__pycache__", "methods", "attacks", "py", "py.typed"}
    assert rooms == set(ROOMS)


IMPORTING = """
import os, sys
import {packages}
for module in {modules}:
    child = os.fork()
    if not child:
        __import__(module)
        os._exit(2 if "torch" in sys.modules else 0)
    print(module, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each module is the first of robench in a process of its own; other packages are there already."""


@pytest.fixture(scope="module")
def imported() -> dict[str, str]:
    """Of every light module: 0, imported without torch; 1, it cannot be imported; 2, with torch."""
    code = IMPORTING.format(packages=", ".join(PACKAGES), modules=LIGHT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_no_torch(module: str, imported: dict[str, str]) -> None:
    assert imported[module] == "0"


def test_the_core_names_no_plugin() -> None:
    names = {
        file.stem for kind in ("methods", "attacks") for file in (ROOT.parent / kind).glob("*.py")
    }
    excused = {"autoattack", "torchattacks", "audited"}  # packages and a verdict, too
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        strings = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        named = strings & (names - excused)
        # Natural accuracy; the suite that is the default; a version of the package AutoAttack; what
        # files from elsewhere call an average; a command that goes through all cells.
        allowed = {"natural", "standard", "ema", "transfer"}
        assert not named - allowed, f"{file.name} names {named}"
