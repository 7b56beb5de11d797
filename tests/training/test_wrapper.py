"""Methods around methods: what they pass on, which order they take, and whose presets they have."""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
import torch

from robench import plugins
from robench.check import tiny
from robench.data.batches import batches
from robench.data.load import Data
from robench.errors import ConfigError, PluginError
from robench.models.passes import Passes, counted
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.epochs import new_run
from robench.training.method import Method, method
from robench.training.train import Checkpoint, train
from robench.training.wrapper import Wrapper, layers, who_has

THREAT = Threat("Linf", 8 / 255)
RECIPE = replace(tiny.RECIPE, epochs=1, validation_steps=1)

WRAPPERS = ("awp", "ema", "ensemble", "guard", "port")
PAIRS = tuple(product(WRAPPERS, WRAPPERS))

REFUSED = {
    ("awp", "ema"): r"awp replaces the step .* but ema has one of its own; write ema\[inner=awp\]",
    ("awp", "ensemble"): r"ensemble has one of its own; write ensemble\[inner=awp\]",
    ("awp", "guard"): r"guard has one of its own; write guard\[inner=awp\]",
    ("awp", "port"): r"port has one of its own; write port\[inner=awp\]",
    ("ensemble", "port"): "ensemble: port trains a part of its network",
} | {(name, name): f"{name} is around {name} already" for name in WRAPPERS}
"""Pairs that would leave out a part of the inner method, and what is said of them."""


@dataclass(frozen=True, kw_only=True)
class Plain(Wrapper):
    """Changes nothing."""


def nested(*names: str, **changes: object) -> Method:
    """Methods in each other, the first outermost; ensembles are of two, each trained apart."""
    asked: dict[str, object] = {}
    for depth, name in enumerate(names):
        prefix = "inner." * depth
        if depth:
            asked[prefix.removesuffix(".")] = name
        if name == "ensemble":
            asked |= {f"{prefix}size": 2, f"{prefix}craft": "own"}
    return method(names[0], changes=asked | {n.replace("__", "."): v for n, v in changes.items()})


def fit(chosen: Method, data: Data) -> Checkpoint:
    return train(chosen, tiny.classifier, data, RECIPE, THREAT, 3, lambda event: None).last


@pytest.fixture(scope="module")
def few() -> Data:
    """Three batches of training images."""
    return tiny.data(train=96, validation=32, test=32)


@pytest.mark.parametrize("name", ["natural", "trades", "iaat", "smoothing"])
def test_a_wrapper_that_does_nothing_changes_nothing(name: str, few: Data) -> None:
    alone, around = (fit(chosen, few) for chosen in (method(name), Plain(inner=method(name))))
    assert alone.tensors.keys() == around.tensors.keys()
    assert all(value.equal(around.tensors[key]) for key, value in alone.tensors.items())
    assert alone.validation == around.validation


@pytest.mark.parametrize("pair", [p for p in PAIRS if p in REFUSED], ids="-".join)
def test_an_order_that_leaves_something_out_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=REFUSED[pair]):
        nested(*pair)
    outer, inner = pair
    assert outer == inner or (inner, outer) not in REFUSED  # the other order works


@pytest.mark.parametrize("pair", [p for p in PAIRS if p not in REFUSED], ids="-".join)
def test_any_other_order_trains_and_survives_a_file(
    pair: tuple[str, str], few: Data, tmp_path: Path
) -> None:
    chosen, path = nested(*pair, "madry", inner__inner__attack__steps=1), tmp_path / "weights"
    last = fit(chosen, few)
    beneath = "ensemble/1/" * (pair[0] == "ensemble")  # what a member keeps
    for name in {"ema", "guard"} & set(pair):
        assert any(n.startswith(f"state.{beneath}{name}/") for n in last.tensors)
    path.write_bytes(to_bytes(last, {}))
    run = new_run(few, THREAT, RECIPE)
    model = restore(path, chosen, tiny.classifier, run, 3, torch.device("cpu"))
    right = model(few.validation.x()).argmax(1) == few.validation.y
    assert right.float().mean().item() == last.validation.natural


def test_three_and_four_of_them() -> None:
    nested("ema", "guard", "awp", "madry")
    nested("guard", "ema", "ensemble", "awp", "madry")
    with pytest.raises(ConfigError, match="guard is around guard already"):
        nested("guard", "ema", "guard", "madry")
    with pytest.raises(ConfigError, match=r"but guard has one of its own; write guard\[inner=awp"):
        nested("ema", "awp", "guard", "madry")
    with pytest.raises(ConfigError, match=r"ensemble: awp has a step of its own.*add craft=own"):
        nested("ensemble", "awp", craft="ensemble")


def test_a_method_with_a_step_of_its_own_is_named_without_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "methods" / "natural.py").read_text(encoding="utf-8")
    page = page.replace("class Natural(", "class Stepping(").replace("Natural()", "Stepping()")
    page = page.replace("    def loss", "    def step(self, *given):\n        pass\n\n    def loss")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "stepping.py").write_text(page, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        method("awp", changes={"inner": "stepping"})
    assert str(refused.value).endswith("but stepping has one of its own")
    assert held(method("ema", changes={"inner": "stepping"})) == method("stepping")


@pytest.mark.parametrize("name", WRAPPERS[:4])  # port has a stage of its own
@pytest.mark.parametrize("inner", ["atop", "smoothing", "tla", "natural", "clp"])
def test_what_a_wrapper_does_not_do_is_the_inner_method_s(name: str, inner: str) -> None:
    if name == "ensemble" and inner in ("atop", "tla"):
        with pytest.raises(ConfigError, match=f"all members of {inner} would start from one cell"):
            nested(name, inner)
        return
    chosen, alone = nested(name, inner), method(inner)
    assert chosen.control == alone.control
    assert chosen.stochastic == alone.stochastic
    assert chosen.select_on == alone.select_on
    assert chosen.starts_from() == alone.starts_from()
    assert chosen.stages() == alone.stages()
    assert chosen.balls(THREAT) == alone.balls(THREAT)
    assert chosen.adaptive("Linf") == alone.adaptive("Linf")


@pytest.mark.parametrize("outer", WRAPPERS[:4])
def test_a_step_around_every_method_costs_no_more_than_it_declares(outer: str, few: Data) -> None:
    refused = []
    for name in sorted(plugins.find("methods").keys() - set(WRAPPERS)):
        try:
            spent, declared = one_step(method(outer, changes={"inner": name}), few)
        except ConfigError:
            refused.append(name)
            continue
        assert 0 < spent.forwards <= 32 * declared.forwards, name
        assert 0 < spent.backwards <= 32 * declared.backwards, name
    assert not {"madry", "trades", "smoothing", "iaat"} & set(refused)
    if outer in ("ema", "guard"):  # which leave nothing out
        assert all(outer in [layer.choice for layer in layers(method(name))] for name in refused)


def one_step(chosen: Method, data: Data) -> tuple[Passes, Passes]:
    """What it spends on 32 images in the middle of its last stage, and declares for one."""
    run = new_run(data, THREAT, RECIPE)
    model = chosen.build(tiny.classifier, run)
    run.state = chosen.init(model, run)
    run.stage, run.progress = chosen.stages()[-1].name, 0.5
    batch = next(batches(data.train, torch.arange(96), 32))
    with counted(model) as spent:
        chosen.step(model.train(), batch, run, torch.optim.SGD(model.parameters(), 1e-3))
    return spent, chosen.passes(run.stage)


def test_layers_and_who_has_a_part() -> None:
    chosen = nested("ema", "guard", "awp", "trades")
    assert [layer.choice for layer in layers(chosen)] == ["ema", "guard", "awp", "trades"]
    owners = {part: who_has(chosen, part) for part in ("step", "loss", "deploy", "build")}
    named = {part: owner and owner.choice for part, owner in owners.items()}
    assert named == {"step": "ema", "loss": "trades", "deploy": "ema", "build": None}


def held(chosen: Method) -> Method:
    assert isinstance(chosen, Wrapper)
    return chosen.inner


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "digits"])
def test_the_inner_method_has_its_own_preset_for_the_data_set(dataset: str) -> None:
    assert held(method("ema", dataset)) == method("madry", dataset)
    assert held(method("ema", dataset, {"inner": "trades"})) == method("trades", dataset)
    chosen = method("ema", dataset, {"inner": "awp", "inner.inner.beta": 3})
    assert held(held(chosen)) == method("trades", dataset, {"beta": 3})


def test_and_for_the_network() -> None:
    found = held(method("ema", "cifar10", {"inner": "sensible"}, "resnet20"))
    assert found == method("sensible", "cifar10", model="resnet20")
    assert found != method("sensible", "cifar10")


def test_what_a_wrapper_s_preset_changes_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    changed = method("trades", "mnist", {"attack.start": "none"})
    assert held(method("mine", "mnist")) == changed != method("trades", "mnist")
    assert held(method("mine", "mnist", {"inner": "madry"})) == method("madry", "mnist")
    expected = method("ema", "cifar10", {"decay": 0.5})
    assert held(method("mine", "cifar10")) == expected
    assert held(expected) == method("madry", "cifar10")


MINE = '''"""Mine: a wrapper (nobody, nowhere)."""

from dataclasses import dataclass

from robench.training.method import method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Mine(Wrapper):
    """Changes nothing."""


presets = {
    "*": Mine(inner=method("trades", changes={"attack.start": "none"})),
    "cifar10": Mine(inner=method("ema", changes={"inner": "madry", "decay": 0.5})),
}
'''


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner": "tradse"}, "no method is called 'tradse'; did you mean 'trades'"),
        ({"inner": "none"}, "no method is called 'none'"),
        ({"inner.betta": 3}, "ema: inner has no setting 'betta' .did you mean 'beta'"),
        ({"inner": "natural", "inner.beta": 3}, "inner has no setting 'beta'; it has: none"),
        ({"inner": "trades[beta=3]"}, "a name alone; write inner=trades,inner.SETTING=VALUE"),
        ({"inner": "awp", "inner.inner": "ema"}, "awp replaces the step"),
        ({"iner": "trades"}, "did you mean 'inner'"),
    ],
)
def test_slips(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, PluginError), match=message):
        method("ema", changes={"inner": "trades"} | changes)
