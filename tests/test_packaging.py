"""Wheel, sdist and editable install find the same plugins, and a user's own beside them."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from robench import plugins

ROOT = Path(__file__).parents[1]
PLUGINS = [f"{kind}/{name}.py" for kind in plugins.KINDS for name in plugins.find(kind)]

DATA = [
    "robench/analysis/references.toml",
    "robench/reporting/charts/paper.mplstyle",
    *(f"robench/reporting/page/page.{end}" for end in ("html", "css", "js")),
]
"""Files of the package that are no Python."""

MINE = '''"""Mine: a user's own method (nobody, nowhere)."""

from robench.training.method import Method

presets = {"*": Method()}
'''


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment of its own, which borrows the other packages from this one."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder)
    (wheel,) = built.glob("*.whl")
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*command, "--no-index", "-q", str(wheel)], check=True, capture_output=True)
    (purelib,) = folder.glob("lib/python*/site-packages")
    (purelib / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def robench(executable: Path, *arguments: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(executable), *arguments], cwd=cwd, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel_and_sdist_hold_what_they_should(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"robench/{plugin}" for plugin in PLUGINS} <= names
    assert {"robench/py.typed", *DATA} <= names
    assert not [name for name in names if name.startswith(("tests/", "methods/", "results/"))]
    with tarfile.open(sdist) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    assert {*PLUGINS, "pyproject.toml", "README.md", "LICENSE", "tests/conftest.py"} <= inside


@pytest.mark.slow
def test_the_wheel_works_from_anywhere(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "robench"
    here = Path(sys.executable).with_name("robench")
    assert robench(script, "list", cwd=Path("/")) == robench(here, "list", cwd=tmp_path)
    shown = robench(script, "show", "method", "trades", cwd=tmp_path)
    assert str(installed) in shown.splitlines()[-1]
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text(MINE, encoding="utf-8")
    assert "  mine " in robench(script, "list", "methods", cwd=tmp_path)
    robench(script, "run", "-m", "madry", "--suite", "quick", "--jobs", "0", "--test-limit", "20",
            "--train-limit", "64", "--set", "recipe.epochs=1", cwd=tmp_path)  # fmt: skip
    assert "madry" in robench(script, "report", cwd=tmp_path)


@pytest.mark.slow
def test_a_wheels_user_in_a_checkout_sees_each_plugin_once(installed: Path) -> None:
    listed = robench(installed / "bin" / "robench", "list", "methods", "suites", cwd=ROOT)
    assert "BROKEN" not in listed
