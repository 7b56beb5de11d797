"""Nonsense gets exit code 2 and one line that names it, before anything runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Outcome

Robench = Callable[..., Outcome]

CASES = [
    ("-m traedes", "no method is called 'traedes'; did you mean 'trades'?"),
    ("-m zzz", "no method is called 'zzz'; there are: "),
    ("-m madry,natural[x=1]", "natural has no setting 'x'; it has: none"),
    ("-m trades[betta=1]", "trades has no setting 'betta' (did you mean 'beta'?); it has: "),
    ("-m trades[beta=-1]", "trades: beta cannot be -1; it is a number >= 0"),
    ("-m trades[beta=1", "brackets do not match"),
    ("-m sensible[cut=0]", "sensible: cut cannot be 0; it is a number > 0 and <= 1"),
    ("-m sensible[variant=trades]", "needs natural_weight > 0"),
    ("", "no method to train; for example --methods sensible,trades,madry"),
    ("-m madry --dataset mnst", "no dataset is called 'mnst'; did you mean 'mnist'?"),
    ("-m madry --suite autoatack", "no suite is called 'autoatack'; did you mean 'autoattack'?"),
    ("-m madry --model resnet-18", "no model is called 'resnet-18'; did you mean 'resnet18'?"),
    ("-m madry --model resnet20", "model 'resnet20' takes 16x16 and larger images; digits has 8x8"),
    ("-m madry --norm Linfinity", "no norm is called 'Linfinity'; did you mean 'Linf'?"),
    ("-m madry --eps 8", "eps '8' is over 1, but pixels are in [0, 1]; write 8/255?"),
    ("-m madry --eps -0.1", "eps '-0.1' is negative"),
    ("-m madry --eps 8/0", "eps '8/0' divides by zero"),
    ("-m madry --train-eps x", "eps 'x' is not a number"),
    ("-m madry --norm L2 --eps 9", "eps 9 in L2 is more than any two images of digits can differ"),
    ("-m madry --seeds x", "seeds 'x' is no whole number or range"),
    ("-m madry --set recipe.epochs=0", "recipe: epochs cannot be 0; it is a whole number >= 1"),
    ("-m madry --set recipe.epoch=1", "recipe has no setting 'epoch' (did you mean 'epochs'?)"),
    ("-m madry --set recipe.pad=9 --set recipe.padding=reflect", "cannot reflect 9 pixels of 8"),
    ("-m madry --set trades.beta=1", "'trades' is neither 'recipe' nor one of the methods: madry"),
    ("-m madry --set epochs", "--set 'epochs' is not of the form recipe.FIELD=VALUE"),
    ("-m madry --dataset mnist", "MNIST/raw is not there; point --data-root at a torchvision root"),
    ("-m madry --config nothing.toml", "config nothing.toml cannot be read: No such file"),
    ("-m madry --config wrong.toml", "no option of wrong.toml is called 'method'; did you mean"),
    ("-m madry --config self.toml", "no option of self.toml is called 'config'"),
    ("-m madry --config torn.toml", "config torn.toml is no TOML"),
    ("-m madry --config nan.toml", "recipe: lr cannot be nan; it is a number > 0"),
    ("-m madry --config table.toml", "'set' in a config file is a table"),
    ("-m madry --config nested.toml", "seeds"),
    ("-m madry --results torn.toml/x", "torn.toml is no folder"),
    ("-m madry --results=", "the name is empty"),
    ("-m madry --results " + 300 * "x", "File name too long"),
    ("-m madry --data-root torn.toml", "is a file"),
    ("-m madry --threads 3000000000", "is not in the range 1<=x<=1024"),
    ("-m madry --config odd.toml", "'(1,2)' is not a valid integer range"),
    ("-m madry --config half.toml", "'1.5' is not a valid integer range"),
    ("-m madry --train-limit 0", "'--train-limit': 0 is not in the range x>=1"),
    ("-m madry --test-limit -3", "'--test-limit': -3 is not in the range x>=1"),
    ("-m madry --checkpoints bst", "no checkpoint is called 'bst'; did you mean 'best'?"),
    ("-m madry --device tpu", "device 'tpu' is none of auto, cpu, cuda, cuda:N"),
    ("-m madry --device cuda:9", "device 'cuda:9' is not here"),
    ("-m madry --rerun never", "'never' is not one of 'missing', 'failed', 'always'"),
    ("-m madry --bogus", "No such option '--bogus'"),
    ("-m broken", "method 'broken' (BROKEN) imports 'nothing_like_this', which is not installed"),
    ("-m my-own", "needs a name of letters, digits and _; rename it"),
    ("-m strict[broken=raises]", "strict.py) fails: ZeroDivisionError: division by zero"),
    ("-m strict[broken=none]", "strict.py) fails: TypeError: 'NoneType' object is not iterable"),
    ("-m strict[broken=leaves]", "strict.py) fails: SystemExit: 7"),
    ("-m strange", "strange.py) fails: TypeError: a setting cannot be <object object"),
    ("-m undefined", "undefined.py) fails: NameError: name 'Missing' is not defined"),
    ("-m strict[share=0.9]", "strict: a share over a half helps nobody"),
]


STRICT = '''"""Strict: refuses a value by itself (nobody, nowhere)."""

from dataclasses import dataclass

from robench.training.method import Method


@dataclass(frozen=True, kw_only=True)
class Strict(Method):
    """Nothing."""

    share: float = 0.5
    broken: str = ""

    def stages(self):
        if self.broken == "leaves":
            raise SystemExit(7)
        return 1 / 0 if self.broken == "raises" else None if self.broken else super().stages()

    def __post_init__(self) -> None:
        if self.share > 0.5:
            raise ValueError("a share over a half helps nobody")


presets = {"*": Strict()}
'''


@pytest.fixture
def prepared(tmp_path: Path) -> None:
    """A folder with a few things that are wrong."""
    (tmp_path / "wrong.toml").write_text('method = ["madry"]\n', encoding="utf-8")
    (tmp_path / "self.toml").write_text('config = "wrong.toml"\n', encoding="utf-8")
    (tmp_path / "odd.toml").write_text("train-limit = [1, 2]\n", encoding="utf-8")
    (tmp_path / "half.toml").write_text("threads = 1.5\n", encoding="utf-8")
    (tmp_path / "torn.toml").write_text("methods = [", encoding="utf-8")
    (tmp_path / "nan.toml").write_text("[set.recipe]\nlr = nan\n", encoding="utf-8")
    (tmp_path / "table.toml").write_text("set = 3\n", encoding="utf-8")
    (tmp_path / "nested.toml").write_text("[seeds]\na = 1\n", encoding="utf-8")
    methods = tmp_path / "methods"
    methods.mkdir()
    (methods / "broken.py").write_text("import nothing_like_this\n", encoding="utf-8")
    (methods / "strict.py").write_text(STRICT, encoding="utf-8")
    undefined = STRICT.replace("share: float", 'share: "Missing"').replace("Strict:", "Undefined:")
    strange = STRICT.replace("share: float = 0.5", "share: object = object()")
    strange = strange.replace("        if self.share > 0.5:\n", "        if not self.share:\n")
    (methods / "strange.py").write_text(strange, encoding="utf-8")
    (methods / "undefined.py").write_text(undefined, encoding="utf-8")
    (methods / "my-own.py").write_text('"""Mine: a name with a dash."""\n', encoding="utf-8")


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(("arguments", "message"), CASES)
def test_one_line_that_names_it(
    arguments: str, message: str, robench: Robench, tmp_path: Path
) -> None:
    done = robench("run", *arguments.split())
    assert done.code == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1
    assert message.replace("BROKEN", f"{tmp_path}/methods/broken.py") in lines[0]
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("prepared")
def test_showing_a_plugin_that_fails_names_it(robench: Robench) -> None:
    done = robench("show", "method", "undefined")
    assert done.code == 2
    assert "undefined.py) fails: NameError" in done.err


def test_two_plugins_of_one_name(robench: Robench, tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "natural.py").write_text('"""Mine: other."""\n', encoding="utf-8")
    done = robench("run", "-m", "natural")
    assert done.code == 2
    assert "two methods are called 'natural': " in done.err
    assert str(tmp_path / "methods" / "natural.py") in done.err
    assert robench("run", "-m", "madry", "--plan").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("report nowhere", "nowhere holds no results; robench run --results fills a folder"),
        ("status nowhere", "nowhere holds no cells"),
        ("show method trads", "no method is called 'trads'; did you mean 'trades'?"),
        ("show dataset mnst", "no dataset is called 'mnst'"),
        ("show modl x", "'modl' is not one of"),
        ("check xyzzy", "no plugin is called 'xyzzy'; there are: "),
        ("check elsewhere/mine.py", "is in no plugin folder; put it in ./methods or ./attacks"),
        ("new method madry", "there is a method called 'madry' already"),
        ("new method ../x", "cannot be a plugin's name"),
        ("new method class", "cannot be a plugin's name"),
        ("new suite _x", "cannot be a plugin's name"),
        ("list methds", "'methds' is not one of"),
        ("runn", "No such command 'runn'"),
    ],
)
def test_other_commands(arguments: str, message: str, robench: Robench, tmp_path: Path) -> None:
    done = robench(*arguments.split())
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert message in done.err
    assert not list(tmp_path.iterdir())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    option=st.sampled_from(
        ["-m", "--dataset", "--suite", "--eps", "--seeds", "--set", "--norm", "--model", "--device"]
    ),
    text=st.text(st.characters(blacklist_categories=["Cs"]), max_size=20),
)
def test_any_text_is_taken_or_refused_in_one_line(option: str, text: str, robench: Robench) -> None:
    known = () if option == "-m" else ("-m", "natural")
    done = robench("run", *known, option, text, "--plan")
    assert done.code in (0, 2), (option, text, done.err)
    assert done.code == 0 or len(done.err.splitlines()) == 1
