"""Command lines, environment variables and grid files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutations import (
    Cut,
    Edit,
    as_toml,
    cuts,
    edited,
    edits,
    odd_texts,
    odd_values,
    plain,
    texts,
)  # fmt: skip
from tests.fuzz.sandbox import call, judged, sandbox

VALUES = {
    "--methods": (
        "natural", "natural,madry", "trades[beta=1,3,6],madry", "madry[recipe.lr=0.01]",
        "awp[inner=x]", "trades[attack.steps=2,attack.start=none]", "sensible[cut=0.5]",
        "ema[inner=awp,inner.inner=trades,inner.inner.beta=3,decay=none]", "guard[inner=ema,mart]",
        "ensemble[inner=awp,craft=own,inner.inner.attack.steps=1]", "awp[inner=madry[beta=1]]",
        "natural[recipe.epochs=1,2]", "madry[attack.step_size=none,8/255]",
        "natural[recipe.milestones=(0.5,0.75)]", "tla,atop",
    ),
    "--dataset": ("digits", "digits,mnist", "cifar10"),
    "--model": ("digitscnn", "smallcnn", "resnet18"),
    "--suite": ("quick", "standard,quick", "detect", "transfer", "autoattack"),
    "--norm": ("Linf", "L2", "flow"),
    "--eps": ("0,2/255,8/255", "3/16", "0.3", "1/16,3/16", "0.5e-1"),
    "--train-norm": ("Linf", "L2"),
    "--train-eps": ("3/16", "0.1,0.2", "8/255"),
    "--seeds": ("0", "0-2,7", "3,3,1"),
    "--set": ("recipe.epochs=2", "recipe.milestones=(0.5,0.75)", "natural.x=1", "recipe.lr=1/3",
              "awp.inner=trades", "ema.inner.attack.steps=1"),
    "--config": ("grid.toml", "nothing.toml", "."),
    "--results": ("results/local", "elsewhere", "grid.toml"),
    "--data-root": ("data", ".", "grid.toml"),
    "--train-limit": ("96", "1"),
    "--test-limit": ("40", "1"),
    "--checkpoints": ("best,last", "last"),
    "--device": ("cpu", "auto", "cuda:1", "meta", "cpu:99", "mps", "cuda:-1"),
    "--threads": ("1", "2"),
    "--rerun": ("missing", "failed", "always"),
}  # fmt: skip
"""Options of ``run``, and values that make sense."""

OTHERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "report": (("results/local",), ("nowhere",), ("results/local", "nowhere"), ()),
    "status": (("results/local",), ("nowhere",), ()),
    "list": (("methods",), ("suites", "flags"), ()),
    "show": (
        ("method", "trades"), ("method", "ema"), ("suite", "quick"), ("dataset", "digits"),
        ("model", "digitscnn"), ("flag", "gap"),
    ),
    "check": (("methods/mine.py",), ("nothing",)),
    "audit": (
        ("nowhere",), ("nowhere", "--images", "1"), ("nowhere", "--no-binarise"),
        ("nowhere", "--suite", "quick", "--checkpoint", "last"),
    ),
    "transfer": (("nowhere",), ("nowhere", "--images", "1"), ("nowhere", "--attack", "pgd")),
    "compare": (("nowhere", "--baseline", "grid.toml"), ("--baseline", "results.csv")),
    "diff": (("madry", "natural"), ("madry", "trades", "--results", "nowhere")),
    "merge": (("nowhere", "grid.toml", "-o", "x"), ("nowhere", "-o", "x", "--duplicates", "all")),
    "clean": (("nowhere", "--failed"), ("nowhere", "--orphans", "--yes"), ("--failed",)),
    "export": (("nowhere", "--format", "robustbench"), ("--format", "robustbench", "-o", "there")),
    "new": (("method", "mine"), ("suite", "mine")),
    "doctor": ((), ("-h",)),
}  # fmt: skip
"""Other commands with arguments that make sense, none of which takes long."""

ENVIRONMENT = (
    "ROBENCH_RESULTS", "ROBENCH_SUITE", "ROBENCH_SEEDS", "ROBENCH_EPS", "ROBENCH_SET",
    "ROBENCH_METHODS", "ROBENCH_THREADS", "ROBENCH_QUIET", "ROBENCH_JSON", "ROBENCH_DEVICE",
    "ROBENCH_IMAGES", "ROBENCH_CONFIG", "ROBENCH_DATA_ROOT", "COLUMNS", "TERM", "NO_COLOR",
    "FORCE_COLOR",
)  # fmt: skip

_WIDTHS = ("1", "0", "-5", "80", "99999", "99999999999", "1e3", "dumb")

_ALL = [value for values in VALUES.values() for value in values]


@dataclass(frozen=True)
class Line:
    """A command line and its environment."""

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """A run that only plans, or another command."""
    arguments = draw(_run() | _run() | _other())
    names = st.sampled_from(ENVIRONMENT)
    values = texts((*_ALL, *_WIDTHS)).map(_for_environment)
    return Line(arguments, draw(st.dictionaries(names, values, max_size=2)))


@st.composite
def _run(draw: st.DrawFn) -> tuple[str, ...]:
    options = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4))
    if draw(st.integers(0, 4)):
        options.insert(0, "--methods")
    arguments = ["run", "--plan"]
    for option in options:
        own = draw(st.integers(0, 9))
        arguments += [option, draw(texts(VALUES[option] if own else _ALL))]
    if draw(st.integers(0, 9)) == 0:
        arguments.insert(draw(st.integers(1, len(arguments))), draw(odd_texts()))
    return tuple(arguments)


@st.composite
def _other(draw: st.DrawFn) -> tuple[str, ...]:
    name = draw(st.sampled_from(sorted(OTHERS)))
    arguments = [name, *draw(st.sampled_from(OTHERS[name]))]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(arguments) - 1))
        arguments[at] = draw(texts((arguments[at],)))
    if draw(st.integers(0, 4)) == 0:
        arguments.append(draw(odd_texts()))
    # With what was cut off, some would begin to train; and there is no end to the help's ways.
    return tuple(arguments) if arguments[0] != "run" else (*arguments, "--plan")


def _for_environment(value: str) -> str:
    data = value.replace("\0", "").encode("utf-8", "surrogatepass")  # the system knows bytes only
    return data.decode("utf-8", "surrogateescape")


def try_line(line: Line) -> int:
    """Run it; a plan writes nothing, ``new`` its file."""
    name = line.arguments[0] if line.arguments else ""
    with sandbox(line.environment, filled=name in ("report", "status")) as folder:
        (folder / "grid.toml").write_text('methods = ["madry"]\n', encoding="utf-8")
        into = {"new": folder, "report": folder / "results", "check": Path("/tmp")}.get(name)
        return judged(call(*line.arguments), into=into)


GRID: dict[str, Any] = {
    "methods": ["natural", "trades[beta=1,3]"],
    "dataset": "digits",
    "model": ["digitscnn"],
    "suite": ["quick"],
    "norm": "Linf",
    "eps": ["1/16", 0.1875],
    "train-eps": "3/16",
    "seeds": [0, "1-2"],
    "train-limit": 96,
    "threads": 1,
    "checkpoints": ["best", "last"],
    "quiet": True,
    "set": {"recipe": {"epochs": 1, "milestones": [0.5]}, "trades.beta": 2.0},
    "claim": [
        {
            "says": "Training on attacks helps.", "source": "Madry et al. 2018", "method": "madry",
            "against": ["natural"], "measure": "worst", "by": 1.0, "where": {"model": "digitscnn"},
            "remark": "As expected.",
        },
        {"says": "No difference.", "source": "Ours", "method": "madry", "against": ["natural"],
         "measure": "natural", "within": 2},
        {"says": "Seen.", "source": "Ours", "method": "natural", "against": ["natural"],
         "measure": "right of the attacked, 1 eps"},
    ],
    "grid": [{"model": "digitscnn-tiny"}, {"eps": ["0"], "set": {"recipe.lr": 0.1}}],
}  # fmt: skip
"""A grid file that asks for everything."""


@dataclass(frozen=True)
class Config:
    """A grid file: changes of what it says, then of its text."""

    edits: tuple[Edit, ...] = ()
    cuts: tuple[Cut, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The file."""
        content = edited(GRID, self.edits) | plain(self.more)
        content = {k: v for k, v in content.items() if not isinstance(v, dict)} | {
            k: v for k, v in content.items() if isinstance(v, dict)
        }
        text = as_toml(content)
        for cut in self.cuts:
            text = cut.of(text)
        return text


def configs() -> st.SearchStrategy[Config]:
    """Strange values in strange places, and torn text."""
    known = st.sampled_from(
        [*GRID, "config", "plan", "results", "rerun", "download", "help", "set"]
    )
    return st.builds(
        Config,
        edits(GRID, 2) | st.just(()),
        st.just(()) | st.just(()) | st.lists(cuts(), max_size=2).map(tuple),
        st.just({}) | st.just({}) | st.dictionaries(known, odd_values(), max_size=2),
    )


def try_config(config: Config) -> int:
    """Plan what it asks for."""
    with sandbox(filled=False):
        content = config.text().encode("utf-8", "surrogatepass")
        Path("grid.toml").write_bytes(content)
        return judged(call("run", "--plan", "--config", "grid.toml"), codes=(0, 2), into=None)


def try_claims(config: Config) -> int:
    """Report on results that have such a grid file beside them."""
    with sandbox():
        content = config.text().encode("utf-8", "surrogatepass")
        Path("results/local/grid.toml").write_bytes(content)
        return judged(call("report"))
