"""PORT: what is in a batch, where extra images come from, and what it reduces to."""

from dataclasses import dataclass, replace
from functools import cache
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.check import tiny
from robench.data.batches import Batch
from robench.data.load import Data
from robench.errors import ConfigError
from robench.models.generator import Generator
from robench.models.supplied import Supplied
from robench.threat import Threat
from robench.training.epochs import new_run
from robench.training.method import Method, Run, Stage, State, method
from robench.training.mixed import IMAGES, Mixed
from robench.training.recipe import Recipe
from robench.training.train import Trained, train
from tests.methods.costs import spent
from tests.mortal import Killed, Mortal

LINF = Threat("Linf", float(tiny.FACTS.eps["Linf"]))
RECIPE = replace(tiny.RECIPE, epochs=2, batch_size=48)
STEPS = 6
"""Of an epoch: the tiny task has 256 training images."""


@dataclass(frozen=True, kw_only=True)
class Watching(Method):
    """Keeps what it is given to train on."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {"each": torch.zeros(run.num_train)}

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        run.state["each"][batch.index] += 1
        run.state |= {"x": batch.x, "y": batch.y, "index": batch.index}
        return F.cross_entropy(model(batch.x), batch.y)


def port(**changes: object) -> Mixed:
    return cast(Mixed, method("port", changes=changes))


def watched(**changes: object) -> Mixed:
    return replace(port(**changes), inner=Watching())


def with_file(count: int = 40, recipe: Recipe = tiny.RECIPE) -> Run:
    """A training in its middle that has extra images: the validation part's, in negative."""
    data = tiny.data()
    images = data.validation.first(count)
    run = new_run(replace(data, extra=replace(images, pixels=255 - images.stored())), LINF, recipe)
    run.progress = 0.5
    return run


def seen(chosen: Mixed, run: Run, batch: Batch) -> Batch:
    """What the inner method has trained on."""
    model = chosen.build(tiny.classifier, run)
    run.state = chosen.init(model, run)
    chosen.step(model.train(), batch, run, torch.optim.SGD(model.parameters(), 0.1))
    return Batch(run.state["x"], run.state["y"], run.state["index"])


def fit(
    chosen: Method, data: Data, keeper: Mortal | None = None, recipe: Recipe = RECIPE
) -> Trained:
    return train(chosen, tiny.classifier, data, recipe, LINF, 3, lambda event: None, "", keeper)


WATCHED = watched(extra="a.npz")
FILE = with_file()


@given(real=st.floats(0, 1), size=st.integers(2, 70))
def test_the_ratio_of_every_batch_is_exact(real: float, size: int) -> None:
    chosen, data = replace(WATCHED, real=real), tiny.data()
    index = torch.arange(size) + 100
    batch = Batch(data.train.x(index), data.train.y[index], index)
    assert FILE.extra is not None
    found = chosen._mixed(batch, FILE.extra, FILE)
    real_ones = found.index < FILE.num_train
    assert len(found.x) == len(found.y) == size
    assert real_ones.sum() == round(real * size)
    assert torch.equal(found.index[real_ones], index[: real_ones.sum()])


def test_images_labels_and_positions_belong_together(batch: Batch) -> None:
    run, data = with_file(), tiny.data()
    found = seen(watched(extra="a.npz", real=0.25), run, batch)
    assert torch.equal(found.x[:16], batch.x[:16])
    assert torch.equal(found.y[:16], batch.y[:16])
    assert torch.equal(found.index[:16], batch.index[:16])
    position = found.index[16:] - len(data.train)
    assert position.unique().numel() > 20  # of 48 draws from 40
    assert torch.allclose(found.x[16:], 1 - data.validation.x(position))
    assert torch.equal(found.y[16:], data.validation.y[position])


def test_extra_images_are_augmented_too(batch: Batch) -> None:
    run = with_file(1, replace(tiny.RECIPE, augment="crop", pad=1))
    found = seen(watched(extra="a.npz"), run, batch)
    assert len(found.x[32:].unique(dim=0)) > 5


def test_what_is_kept_for_each_image_has_room_for_the_extra_ones(batch: Batch) -> None:
    run = with_file(40)
    found = seen(watched(extra="a.npz", real=0), run, batch)
    assert len(run.state["each"]) == 256 + 40
    assert torch.equal(run.state["each"], found.index.bincount(minlength=296).clamp_max(1).float())
    for chosen in (port(inner="iaat", extra="a.npz"), port(inner="tla", extra="a.npz")):
        model = chosen.build(tiny.classifier, run)
        run.state = chosen.init(model, run)
        chosen.step(model.train(), batch, run, torch.optim.SGD(model.parameters(), 0.1))


@pytest.mark.parametrize("more", [{}, {"extra": "a.npz"}, {"samples": 3}])
def test_without_extra_images_it_is_its_inner_method_bit_for_bit(more: dict[str, object]) -> None:
    data, recipe = tiny.data(64), replace(RECIPE, augment="crop-flip", pad=1, ema=0.9)
    chosen = port(real=1, **{"inner.attack.steps": 2}, **more)
    found = fit(chosen, data, recipe=recipe).last
    alone = fit(method("madry", changes={"attack.steps": 2}), data, recipe=recipe).last
    assert found.tensors.keys() == alone.tensors.keys()
    assert all(torch.equal(found.tensors[name], alone.tensors[name]) for name in found.tensors)
    assert found.validation == alone.validation
    assert chosen.extra_data() == ""


def test_a_copy_of_the_real_images_trains_as_they_do() -> None:
    data, recipe = tiny.data(), replace(RECIPE, epochs=6)
    copied = replace(data, extra=data.train)
    chosen = port(inner="natural", extra="a.npz", real=0)
    found = fit(chosen, copied, recipe=recipe).last
    alone = fit(method("natural"), data, recipe=recipe).last
    assert found.validation.natural > 0.9 < alone.validation.natural
    wrong = replace(copied, extra=replace(data.train, y=(data.train.y + 1) % 4))
    assert fit(chosen, wrong, recipe=recipe).last.validation.natural < 0.1


@cache
def generated(samples: int | None = None) -> Trained:
    changes = {"inner": "natural", "samples": samples, "width": 4}
    return fit(port(**changes), tiny.data())


def test_a_generators_stage_and_the_classifiers_do_not_disturb_each_other() -> None:
    chosen, run = watched(width=4), new_run(tiny.data(), LINF, tiny.RECIPE)
    first, second = chosen.stages()
    assert (first.name, second.name) == ("generator", "train")
    torch.manual_seed(4)
    alone = tiny.classifier()
    torch.manual_seed(4)
    model = chosen.build(tiny.classifier, run)
    assert isinstance(model, Supplied)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            alone.state_dict().values(), model.classifier.state_dict().values(), strict=True
        )
    )
    run.state = chosen.init(model, run)
    index = torch.arange(32)
    batch = Batch(tiny.data().train.x(index), tiny.data().train.y[index], index)
    for stage in (first, second):
        parts = {"generator": model.generator, "train": model.classifier}
        other = parts["train" if stage.name == "generator" else "generator"]
        before = {n: value.clone() for n, value in other.state_dict().items()}
        mine = {n: value.clone() for n, value in parts[stage.name].named_parameters()}
        run.stage = stage.name
        weights = [p for n, p in model.named_parameters() if n.startswith(stage.prefix)]
        chosen.step(model.train(), batch, run, torch.optim.SGD(weights, 1e-3))
        assert all(torch.equal(before[n], value) for n, value in other.state_dict().items())
        assert not any(
            torch.equal(p, mine[n]) for n, p in parts[stage.name].named_parameters() if p.ndim > 1
        )
        assert (stage.name == "generator") == ("x" not in run.state)


def test_what_is_drawn_is_drawn_once_and_more_of_it_begins_with_the_same() -> None:
    torch.manual_seed(0)
    model = Supplied(nn.Identity(), Generator((3, 8, 8), 5, 4, 4))
    long, short = model.drawn(600), model.drawn(300)
    assert (long.dtype, long.shape) == (torch.uint8, (600, 3, 8, 8))
    assert torch.equal(long[:300], short)
    assert len(long.unique(dim=0)) > 590
    images = model.supply(long)
    assert torch.equal(images.y, torch.arange(600) % 4)
    codes = torch.randn(256, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.generator(codes, torch.arange(256) % 4)
    assert (images.x(slice(256)) - expected).abs().max() < 0.51 / 255
    for count, of in ((None, 256), (7, 7)):
        found = generated(count)
        assert torch.equal(
            found.best.tensors[f"state.{IMAGES}"], found.last.tensors[f"state.{IMAGES}"]
        )
        assert len(found.last.tensors[f"state.{IMAGES}"]) == of
    most, few = (generated(n).last.tensors[f"state.{IMAGES}"] for n in (None, 7))
    assert torch.equal(most[:7], few)


def test_no_more_images_than_asked_for_are_met(batch: Batch) -> None:
    run = new_run(tiny.data(), LINF, tiny.RECIPE)
    found = seen(watched(samples=3, real=0.5, width=4), run, batch)
    assert len(found.x[32:].unique(dim=0)) == 3
    assert set((found.index[32:] - 256).tolist()) == {0, 1, 2}
    assert torch.equal(found.y[32:], (found.index[32:] - 256) % 4)
    assert len(run.state["each"]) == 259
    assert port(samples=9, extra="a.npz").extra_limit() == 9


def test_no_look_is_taken_at_a_classifier_that_has_not_begun() -> None:
    found = generated()
    assert {found.best.stage, found.last.stage} == {"train"}
    assert len(found.looks) == RECIPE.epochs
    assert not [trouble for trouble in found.troubles if trouble.epoch <= RECIPE.epochs]


@pytest.mark.parametrize("saves", [2 * STEPS + 3, 3 * STEPS])  # in the second stage
def test_what_was_drawn_goes_on_with_a_training(saves: int) -> None:
    chosen = port(inner="natural", samples=7, width=4)
    first = Mortal(saves, saves + 2)
    with pytest.raises(Killed):
        fit(chosen, tiny.data(), first)
    again = fit(chosen, tiny.data(), Mortal(kept=first.kept))
    whole = generated(7)
    for a, b in ((again.best, whole.best), (again.last, whole.last)):
        assert a.tensors.keys() == b.tensors.keys()
        assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


@pytest.mark.parametrize("saves", [3, STEPS])
def test_a_training_on_a_file_goes_on_bit_for_bit(saves: int) -> None:
    data = tiny.data()
    more, recipe = replace(data, extra=data.validation), replace(RECIPE, augment="crop", pad=1)
    chosen, first = port(inner="natural", extra="a.npz"), Mortal(saves, saves + 2)
    with pytest.raises(Killed):
        fit(chosen, more, first, recipe)
    torch.rand(5)
    again = fit(chosen, more, Mortal(kept=first.kept), recipe).last.tensors
    whole = fit(chosen, more, recipe=recipe).last.tensors
    assert all(torch.equal(again[name], whole[name]) for name in whole)


@pytest.mark.parametrize("name", ["madry", "trades"])
def test_passes_are_the_inner_methods(name: str, batch: Batch) -> None:
    run, chosen = with_file(), port(inner=name, extra="a.npz")
    model = chosen.build(tiny.classifier, run)
    run.state = chosen.init(model, run)
    declared = method(name).passes("train")
    assert spent(chosen, model, batch, run) == chosen.passes("train") == declared


def test_a_method_with_a_module_and_stages_of_its_own_fits_inside() -> None:
    chosen, run = port(inner="atop", width=4), new_run(tiny.data(), LINF, tiny.RECIPE)
    assert chosen.starts_from() == "natural"
    assert chosen.stochastic
    assert [(stage.name, stage.prefix) for stage in chosen.stages()] == [
        ("generator", "generator."),
        ("pretrain", "classifier.purifier"),
        ("finetune", "classifier.purifier"),
    ]
    found = fit(chosen, tiny.data(64))
    names = {
        name.split(".")[2] for name in found.last.tensors if name.startswith("model.classifier")
    }
    assert names == {"classifier", "purifier", "transform"} & names > {"purifier"}
    model = chosen.build(tiny.classifier, run)
    assert chosen.deploy(model, run) is cast(Supplied, model).classifier


@pytest.mark.parametrize(
    "names", ["ema port", "guard port", "port ema", "port awp", "port guard", "port ensemble"]
)
def test_wrappers_fit_around_and_inside(names: str) -> None:
    outer, inner = names.split()
    own = "inner." if inner == "port" else ""
    small = {f"{own}samples": 9, f"{own}width": 2, "inner.inner": "natural"}
    chosen = method(outer, changes={"inner": inner, **small})
    found = fit(chosen, tiny.data(96), recipe=replace(RECIPE, epochs=1)).last
    assert found.stage == "train"
    assert len(found.tensors[f"state.{IMAGES}"]) == 9
    assert any(name.startswith("model.generator") for name in found.tensors)


def test_what_needs_a_step_to_replace_is_refused_around_it() -> None:
    with pytest.raises(ConfigError, match=r"but port has one of its own; write port\[inner=awp"):
        method("awp", changes={"inner": "port"})
    with pytest.raises(ConfigError, match="port trains a part of its network"):
        method("ensemble", changes={"inner": "port"})


def test_two_sources_or_two_stages_of_one_name_are_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Staged(Watching):
        def stages(self) -> tuple[Stage, ...]:
            return Stage("generator"), Stage()

        @property
        def choice(self) -> str:
            return "staged"

    with pytest.raises(ConfigError, match="port is around port already; once is enough"):
        port(inner="port")
    with pytest.raises(ConfigError, match="port has a stage 'generator', and so has staged"):
        replace(port(), inner=Staged())


def test_presets() -> None:
    for dataset in ("*", "digits", "mnist", "cifar10"):
        chosen = cast(Mixed, method("port", dataset))
        assert chosen.inner == method("madry", dataset)
        assert (chosen.real, chosen.samples, chosen.extra) == (0.5, None, "")
    changed = method("port", "mnist", {"inner": "trades"})
    assert cast(Mixed, changed).inner == method("trades", "mnist")
