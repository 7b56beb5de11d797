"""list, show, check, new, status, doctor, report, help: what a newcomer meets."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import robench as package
from robench import plugins
from robench.cli.main import COMMANDS
from robench.training.method import method
from tests.cli.grids import QUICK, write_suite
from tests.conftest import Outcome

Robench = Callable[..., Outcome]


def modules_after(*arguments: str) -> set[str]:
    """Modules that a command has imported when it ends."""
    code = (
        "import sys\nfrom robench.cli.main import main\n"
        f"try: main({list(arguments)!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('\\nMODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\nMODULES ")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_next_to_nothing(arguments: list[str]) -> None:
    heavy = {"torch", "numpy", "pandas", "rich", "msgspec", "matplotlib", "scipy", "filelock"}
    assert not heavy & modules_after(*arguments)


@pytest.mark.parametrize("arguments", [["list"], ["new", "--help"]])
def test_listing_imports_no_torch(arguments: list[str]) -> None:
    assert not {"torch", "numpy", "pandas"} & modules_after(*arguments)


def test_help_names_every_command(robench: Robench) -> None:
    done = robench("--help")
    assert done.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.out
        assert robench(name, "--help").code == 0
    assert robench("--version").out == f"robench, version {package.__version__}\n"


def test_list_shows_every_plugin_and_what_is_wrong_with_it(
    robench: Robench, tmp_path: Path
) -> None:
    done = robench("list")
    assert done.code == 0
    for kind in plugins.KINDS:
        for name in plugins.find(kind):
            assert f"  {name} " in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "broken.py").write_text("import nothing_like_this\n", encoding="utf-8")
    broken = robench("list", "methods")
    assert broken.code == 1
    assert "BROKEN: method 'broken'" in broken.out
    assert "'nothing_like_this', which is not installed" in " ".join(broken.out.split())
    assert "  trades " in broken.out


def test_list_says_what_breaks_a_negative_control(robench: Robench) -> None:
    entries = re.split(r"\n  (?=\w)", robench("list", "methods").out)
    marked = {}
    for entry in entries[1:]:
        said = " ".join(entry.split())
        name, _, by = said.partition(" NEGATIVE CONTROL, broken by ")
        marked[name.split()[0]] = by.removesuffix(".")
    assert marked == {name: method(name).control for name in plugins.find("methods")}
    assert marked["kwta"] == "random search: Square with restarts (Croce & Hein 2020)"
    assert marked["trades"] == ""


def test_show_prints_the_numbers_that_will_run(robench: Robench) -> None:
    trades = robench("show", "method", "trades").out
    assert "beta          " in trades
    assert "6 (a number >= 0). Weight of the KL term" in trades
    assert "on mnist: attack.steps=40, attack.step_size=0.01, beta=1" in trades
    quick = robench("show", "suite", "quick").out
    assert "pgd.steps=20" in quick
    assert "an upper bound, not AutoAttack" in quick
    package = " ".join(robench("show", "suite", "autoattack").out.split())
    assert "verdict: AutoAttack's four attacks" in package
    assert "n_iter=100, n_restarts=1; in L1 n_iter=100, n_restarts=5" in package
    digits = robench("show", "dataset", "digits").out
    assert "Linf 3/16" in digits
    assert "epochs" in digits
    assert "269,722 parameters" in robench("show", "model", "resnet20").out


def test_a_path_is_never_broken(robench: Robench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    known: list[tuple[str, plugins.Kind, str]] = [
        ("method", "methods", "trades"),
        ("suite", "attacks", "quick"),
    ]
    for kind, folder, name in known:
        last = robench("show", kind, name).out.splitlines()[-1]
        assert last == str(plugins.get(folder, name).path())


@pytest.mark.parametrize(("kind", "folder"), [("method", "methods"), ("suite", "attacks")])
def test_a_new_plugin_passes_its_check(
    kind: str, folder: str, robench: Robench, tmp_path: Path
) -> None:
    new = robench("new", kind, "my_own")
    assert new.code == 0
    assert new.out.splitlines()[-1] == f"{folder}/my_own.py"
    checked = robench("check", "my_own")
    assert checked.code == 0, checked.out
    assert "WRONG" not in checked.out
    assert "all is well" in checked.out
    by_path = robench("check", f"{folder}/my_own.py")
    assert by_path.out == checked.out
    assert robench("new", kind, "my_own").code == 2


@pytest.mark.parametrize("name", ["none", "true", "f", "run", "tensor", "adversarial"])
def test_a_new_method_of_any_name_loads(name: str, robench: Robench) -> None:
    assert robench("new", "method", name).code == 0
    assert robench("show", "method", name).code == 0
    assert robench("run", "-m", f"{name}[weight=0.3]", "--plan").code == 0


WRONG = '''"""no citation"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Wrong(Method):
    """Everything that a plugin can do wrong."""

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        model.train()
        F.cross_entropy(model(batch.x), batch.y).backward()
        return batch.x + 0.5

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return model(batch.x).square().mean() + 0 * torch.rand(())


presets = {"*": Wrong(), "cifar11": Wrong()}
'''


def test_check_says_what_to_mend(robench: Robench, tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "wrong.py").write_text(WRONG, encoding="utf-8")
    checked = robench("check", "wrong")
    assert checked.code == 1
    for problem in (
        'write """Name: what it does (authors and year, where)."""',
        "presets['cifar11']: no such data set",
        "perturb leaves the ball by 0.47",
        "perturb leaves the model in train mode",
        "natural validation accuracy is",
    ):
        assert problem in checked.out


def test_check_goes_on_after_a_plugin_that_defines_nothing(
    robench: Robench, tmp_path: Path
) -> None:
    for folder in ("methods", "attacks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"no_{folder}.py").write_text('"""No: nothing."""\n', encoding="utf-8")
    checked = robench("check", "no_methods", "no_attacks", "natural")
    assert checked.code == 1
    assert "method 'no_methods' has no presets; end its file with: " in checked.out
    assert "suite 'no_attacks' has no suite; end its file with: " in checked.out
    assert "  ok    learns the tiny task" in checked.out
    assert "2 things to mend" in checked.out


def test_a_new_file_that_cannot_be_written(robench: Robench, tmp_path: Path) -> None:
    (tmp_path / "methods").write_text("", encoding="utf-8")
    done = robench("new", "method", "mine")
    assert done.code == 1
    assert done.err == "error: cannot write methods/mine.py: File exists\n"


def test_check_of_a_suite_that_leaves_the_ball(robench: Robench) -> None:
    write_suite("far", "lambda model, x, y, threat: x + 2 * threat.eps")
    checked = robench("check", "far")
    assert checked.code == 1
    assert "attack 'bad' left the threat model" in checked.out


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_failure(once: Robench, tmp_path: Path) -> None:
    once("run", "-m", "natural", *QUICK)
    code = "from robench.cli.main import main; main()"
    for arguments in (
        ["--help"],
        ["--version"],
        ["list"],
        ["report", "--no-figures"],
        ["show", "method", "trades"],
        ["status"],
    ):
        command = [sys.executable, "-c", code, *arguments]
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_doctor(robench: Robench, tmp_path: Path) -> None:
    done = robench("doctor")
    assert done.code == 0
    for name in ("torch", "cuda", "threads", "free disk", "methods", "autoattack"):
        assert f"\n{name} " in done.out
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "torn.py").write_text("def (", encoding="utf-8")
    broken = robench("doctor")
    assert broken.code == 1
    assert "BROKEN            suite 'torn'" in broken.out


def test_a_fault_in_robench_is_one_line_and_code_3(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(kind: str) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("robench.plugins.find", fault)
    done = robench("list", "methods")
    assert done.code == 3
    assert done.err == (
        "error: ZeroDivisionError: division by zero "
        "(a fault in robench; ROBENCH_TRACEBACK=1 shows where)\n"
    )
    monkeypatch.setenv("ROBENCH_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        robench("list", "methods")
