"""Nothing from elsewhere is run, believed unseen, or leads out of its folder."""

import ast
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from robench import plugins
from robench.cli.main import main
from robench.errors import PluginError
from robench.names import in_a_file_name, is_file_name
from robench.store.records import read_record, write_record
from tests.cli.grids import QUICK
from tests.conftest import Outcome

Robench = Callable[..., Outcome]

ROOT = Path(plugins.__file__).parents[1]
FILES = sorted(
    file for room in ("robench", "methods", "attacks") for file in (ROOT / room).rglob("*.py")
)

UNPICKLING = {
    "pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "ctypes",
}  # fmt: skip
RUNNING = {
    "os.system", "os.popen", "os.execv", "os.spawnv", "eval", "exec", "torch.hub.load",
    "pandas.read_pickle", "pd.read_pickle", "shutil.unpack_archive",
}  # fmt: skip
UNPACKING = {"extractall", "unpack_archive"}


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, object]]]:
    """Every call by its dotted name, with its named arguments where they are constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            named = {str(word.arg): getattr(word.value, "value", ...) for word in node.keywords}
            yield ast.unparse(node.func), named


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_unpickled_and_no_program_is_started(file: Path) -> None:
    tree, name = ast.parse(file.read_text(encoding="utf-8")), str(file.relative_to(ROOT))
    packages = set(imported(tree))
    assert not packages & UNPICKLING
    assert "subprocess" not in packages or name == "robench/store/provenance.py"
    for called, named in calls(tree):
        assert called not in RUNNING
        assert called.rpartition(".")[2] not in UNPACKING
        assert "shell" not in named
        if called in ("np.load", "numpy.load"):
            assert named.get("allow_pickle") is False
        if called == "torch.load":
            assert named.get("weights_only") is True
        if called == "torch.jit.load":  # a graph that this process has just traced
            assert name == "robench/models/prepared.py"


@pytest.mark.parametrize(
    "arguments",
    [
        "run --methods ../../x",
        "run --methods ../../x[a=1]",
        "run --methods natural --suite ../../x",
        "run --methods natural --dataset ../../x",
        "run --methods natural --model ../../x",
        "run --methods natural --set ../../x=1",
        "run --methods natural --set ../../x.y=1",
        "run --methods natural --checkpoints ../../x",
        "show method ../../x",
        "show suite ../../x",
        "show dataset ../../x",
        "show model ../../x",
        "new method ../../x",
        "new suite ../../x",
        "check ../../x",
    ],
)
def test_names_with_folders_are_refused(arguments: str, robench: Robench, tmp_path: Path) -> None:
    outside = set(tmp_path.parent.parent.iterdir())
    done = robench(*arguments.split())
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "../../x" in done.err
    assert not list(tmp_path.iterdir())
    assert set(tmp_path.parent.parent.iterdir()) == outside


@pytest.mark.parametrize("name", ["../../x", "/x", "..", "a b", "a\nb", "-x", ""])
def test_a_package_cannot_name_its_plugin_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, "json", group)] if group == "robench.methods" else []

    monkeypatch.setattr(plugins, "entry_points", entries)
    with pytest.raises(PluginError, match="needs a name of letters, digits, _ and -; rename it"):
        plugins.get("methods", name).load()


def test_texts_and_names() -> None:
    assert in_a_file_name("../../x.y\n") == "-x-y-"
    assert in_a_file_name("digits-digitscnn-quick-L2") == "digits-digitscnn-quick-L2"
    assert is_file_name("natural-digits-s0-01234567")
    assert not any(map(is_file_name, ("", ".", "..", "a/b", "/", "a\\b", "a\0")))


EVIL = "../../x<script>|](javascript:y)\x1b[31m\n$\\frac$"


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def change(path: Path, identity: Mapping[str, object], **values: object) -> None:
    record = read_record(path)
    write_record(path, record | values | {"identity": record["identity"] | identity})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one trained and attacked cell."""
    folder = tmp_path_factory.mktemp("grid") / "results"
    asked = ("-m", "natural", *QUICK, "--checkpoints", "best", "--suite", "quick")
    with pytest.raises(SystemExit) as end:
        main(("run", *asked, "--results", str(folder)))
    assert not end.value.code
    return folder


@pytest.fixture
def foreign(trained: Path, tmp_path: Path) -> Path:
    """The same in a copy that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "a" / "b" / "results"))


@pytest.mark.parametrize("name", ["method", "dataset", "model"])
def test_a_cell_of_an_evil_name_is_not_used(
    name: str, foreign: Path, robench: Robench, tmp_path: Path
) -> None:
    (cell,) = foreign.glob("cells/*/cell.json")
    change(cell, {name: EVIL})
    before = everything(tmp_path)
    done = robench("report", str(foreign))
    assert done.code == 2
    assert "cell.json belongs to another key; not used" in done.err
    assert everything(tmp_path) == before


def test_names_in_foreign_results_lead_nowhere(
    foreign: Path, robench: Robench, tmp_path: Path
) -> None:
    (cell,) = foreign.glob("cells/*/cell.json")
    curve = read_record(cell)["curve"]
    rows = [f"{curve[0]},../../../x.y", *(f"{row},0.5" for row in curve[1:])]
    change(cell, {}, label=f"{EVIL}[{EVIL}]", deviates=EVIL, curve=rows)
    before = everything(tmp_path)
    done = robench("report", str(foreign))
    assert done.code == 0, done.err
    new = everything(tmp_path) - before
    assert new
    assert all(name.startswith("a/b/results/report") for name in new)
    assert "\x1b" not in done.out + done.err
    page = (foreign / "report" / "report.md").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert page.count("<script") == page.count("\\<script") > 0
    assert page.count("](javascript") == 0 < page.count("]\\(javascript")
    table = next(line for line in page.splitlines() if line.startswith("| ") and "script" in line)
    head = next(line for line in page.splitlines() if line.startswith("| method"))
    assert table.replace("\\|", "").count("|") == head.count("|")


@pytest.mark.parametrize("where", ["report", "report/tables", "report/figures"])
def test_a_link_out_of_foreign_results_is_not_followed(
    where: str, foreign: Path, robench: Robench, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (foreign / where).parent.mkdir(exist_ok=True)
    (foreign / where).symlink_to(mine)
    done = robench("report", str(foreign))
    assert done.code == 1
    assert f"{where} leads out of " in done.err
    assert not list(mine.iterdir())


@pytest.mark.parametrize(
    "identity",
    [{"eps": "1e999999999"}, {"eps": 3}, {"sweep": None}, {"test_limit": "x"}],
)
def test_a_record_of_nonsense_is_named_and_not_used(
    identity: dict[str, object], foreign: Path, robench: Robench
) -> None:
    (path,) = foreign.glob("cells/*/eval/*.json")
    change(path, identity)
    done = robench("report", str(foreign))
    assert done.code == 2
    assert f"{path.name} is not as it should be: " in done.err


def test_a_grid_of_foreign_results_leads_nowhere(foreign: Path, robench: Robench) -> None:
    (grid,) = foreign.glob("grids/*.json")
    grid.write_text(json.dumps({"../../../etc": ["x"], "/etc": ["x"]}), encoding="utf-8")
    done = robench("status", str(foreign))
    assert "names '../../../etc', which is no cell's folder; not looked at" in done.out
    assert "names '/etc', which" in done.out
