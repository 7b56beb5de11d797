"""EMA and SWA: averages against slow ones, what they reduce to, and statistics estimated anew."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD

from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.data.load import Data
from robench.errors import ConfigError
from robench.models.smoothed import Smoothed
from robench.threat import Threat
from robench.training.epochs import new_run
from robench.training.method import Method, Run, method
from robench.training.train import Trained, train

THREAT = Threat("Linf", 8 / 255)


def make(**changes: object) -> Method:
    return method("ema", changes={"inner.attack.steps": 1, **changes})


def fit(chosen: Method, data: Data, **recipe: Any) -> Trained:
    changed = replace(tiny.RECIPE, **{"validation_steps": 1, **recipe})
    return train(chosen, tiny.classifier, data, changed, THREAT, 0, lambda event: None)


def under(prefix: str, trained: Trained) -> dict[str, Tensor]:
    tensors = trained.last.tensors.items()
    return {name.removeprefix(prefix): v for name, v in tensors if name.startswith(prefix)}


class Walk:
    """Steps of a method on one batch, and the weights after each."""

    def __init__(self, chosen: Method, batch: Batch, run: Run) -> None:
        torch.manual_seed(1)
        self.chosen, self.batch, self.run, self.model = chosen, batch, run, tiny.classifier()
        run.state = chosen.init(self.model, run)
        self.optimizer = SGD(self.model.parameters(), 0.1, 0.9)
        self.seen = [snapshot(self.model)]

    def step(self, **present: Any) -> None:
        for name, value in present.items():
            setattr(self.run, name, value)
        self.chosen.step(self.model.train(), self.batch, self.run, self.optimizer)
        self.seen.append(snapshot(self.model))

    def average(self) -> dict[str, Tensor]:
        return snapshot(self.chosen.deploy(self.model, self.run))


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    names = [n for n, value in expected.items() if value.is_floating_point()]
    return all(torch.allclose(found[n], expected[n], rtol=1e-5, atol=1e-6) for n in names)


@pytest.mark.parametrize("warmup", [True, False])
def test_without_decay_its_inner_method_is_deployed(warmup: bool, data: Data) -> None:
    """All of it, statistics of batch normalisation and their counts included."""
    alone = fit(method("madry", changes={"attack.steps": 1}), data, epochs=2)
    around = fit(make(decay=0, warmup=warmup), data, epochs=2)
    assert equal(under("model.", around), under("model.", alone))
    model, run = tiny.classifier(), new_run(data, THREAT, tiny.RECIPE)
    model.load_state_dict(under("model.", around))
    run.state = under("state.", around)
    assert equal(snapshot(make(decay=0).deploy(model, run)), under("model.", alone))
    assert around.looks == alone.looks


def test_without_warm_up_the_average_is_the_recipe_s(data: Data) -> None:
    theirs = fit(method("madry", changes={"attack.steps": 1}), data, epochs=2, ema=0.9)
    ours = fit(make(decay=0.9, warmup=False), data, epochs=2)
    averaged = under("state.ema/", ours)
    assert averaged.keys() - {"count"} == {
        name for name, value in under("model.", theirs).items() if value.is_floating_point()
    }
    assert all(v.equal(under("model.", theirs)[n]) for n, v in averaged.items() if n != "count")
    assert ours.looks == theirs.looks
    assert not close(under("state.ema/", fit(make(decay=0.9), data, epochs=2)), averaged)


def test_beside_the_recipe_s_average_this_one_is_deployed(data: Data) -> None:
    one, both = (fit(make(decay=0.5), data, epochs=2, ema=ema) for ema in (None, 0.9))
    assert one.looks == both.looks


@pytest.mark.parametrize("decay", [0.0, 0.2, 0.9])
def test_against_a_loop_with_the_authors_warm_up(decay: float, batch: Batch, run: Run) -> None:
    walk = Walk(make(decay=decay), batch, run)
    expected = {n: v.double() for n, v in walk.seen[0].items() if v.is_floating_point()}
    for t in range(12):
        walk.step()
        now = min(decay, (t + 1) / (t + 10))
        for name, value in expected.items():
            expected[name] = now * value + (1 - now) * walk.seen[-1][name].double()
    found = walk.average()
    assert close(found, {name: value.float() for name, value in expected.items()})
    assert found["body.1.num_batches_tracked"] == 12


def test_until_the_start_the_average_is_the_weights(batch: Batch, run: Run) -> None:
    walk = Walk(make(decay=0.9, start=0.5), batch, run)
    for progress in (0.0, 0.2, 0.4):
        walk.step(progress=progress)
        assert equal(walk.average(), walk.seen[-1])
    walk.step(progress=0.5)
    first, second = walk.seen[-2:]
    assert close(walk.average(), {n: first[n].lerp(v, 0.9) for n, v in second.items() if n in
                                  first and v.is_floating_point()})  # fmt: skip


def test_averaging_begins_in_the_last_stage(batch: Batch, run: Run) -> None:
    """An equal mean would never forget what was not trained before."""
    for decay in (None, 0.9):
        chosen = method("ema", changes={"inner": "atop", "decay": decay})
        model = chosen.build(tiny.classifier, run)
        run.state, run.ends_epoch = chosen.init(model, run), True
        for run.stage, count in (("pretrain", 0), ("pretrain", 0), ("finetune", 1)):
            chosen.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
            assert run.state["ema/count"] == count
            if not count:
                assert equal(snapshot(chosen.deploy(model, run)), snapshot(model))


@hypothesis_settings(max_examples=15)
@given(ends=st.lists(st.booleans(), min_size=1, max_size=6), start=st.integers(0, 3))
def test_swa_is_the_mean_of_the_ends_of_epochs(ends: list[bool], start: int) -> None:
    data = tiny.data(32)
    index = torch.arange(32)
    batch = Batch(data.train.x(index), data.train.y, index)
    walk = Walk(make(decay=None, start=start / 7), batch, Run(THREAT, 32, 4, 3))
    counted = []
    for step, ends_epoch in enumerate(ends):
        walk.step(progress=step / 7, ends_epoch=ends_epoch)
        if ends_epoch and step >= start:
            counted.append(walk.seen[-1])
    kept = walk.run.state
    assert kept["ema/count"] == len(counted)
    for name, value in walk.seen[-1].items():
        if value.is_floating_point():
            mean = torch.stack([one[name] for one in counted or [walk.seen[-1]]]).mean(0)
            assert torch.allclose(kept[f"ema/{name}"], mean, rtol=1e-5, atol=1e-6)


def test_a_training_s_epochs_are_averaged_from_the_start_on(data: Data) -> None:
    trained = fit(make(decay=None, start=0.5), data, epochs=4)
    assert under("state.ema/", trained)["count"] == 2
    none = fit(make(decay=None, start=0.99), data, epochs=2)
    alone = fit(method("madry", changes={"attack.steps": 1}), data, epochs=2)
    assert under("state.ema/", none)["count"] == 0
    assert none.looks == alone.looks


def averaged(data: Data, images: int = 200) -> tuple[Method, Any, Run]:
    """Half-trained weights, and an average of them that has begun."""
    chosen, run = make(decay=None, images=images), new_run(data, THREAT, tiny.RECIPE)
    torch.manual_seed(2)
    model = tiny.classifier()
    run.state = chosen.init(model, run) | {"ema/count": torch.tensor(1)}
    return chosen, model, run


def test_statistics_are_those_of_the_first_training_images(data: Data) -> None:
    chosen, model, run = averaged(data)
    before = snapshot(model)
    deployed: Any = chosen.deploy(model, run)
    layer = deployed.body[1]
    assert not layer.training
    seen = model.body[0](data.train.first(200).x())
    parts = [part.transpose(0, 1).flatten(1) for part in seen.split(100)]  # two of at most 128
    mean = torch.stack([part.mean(1) for part in parts]).mean(0)
    variance = torch.stack([part.var(1) for part in parts]).mean(0)
    assert torch.allclose(layer.running_mean, mean, atol=1e-6)
    assert torch.allclose(layer.running_var, variance, atol=1e-6)
    assert equal(snapshot(model), before)


def test_they_are_the_same_every_time_and_draw_nothing(data: Data) -> None:
    chosen, model, run = averaged(data)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    first = snapshot(chosen.deploy(model, run))
    assert torch.equal(torch.rand(3), expected)
    assert equal(first, snapshot(chosen.deploy(model, run)))
    other, model, run = averaged(data, images=100)
    assert not equal(first, snapshot(other.deploy(model, run)))


@pytest.mark.parametrize("images", [2, 129, 256, 5000])
def test_any_number_of_images_will_do(images: int, data: Data) -> None:
    """A last batch of one could have no variance."""
    chosen, model, run = averaged(data, images)
    deployed: Any = chosen.deploy(model, run)
    assert deployed(data.test.x()).isfinite().all()
    assert deployed.body[1].num_batches_tracked == -(-min(images, 256) // 128)


def test_a_decay_estimates_nothing(data: Data) -> None:
    _, model, run = averaged(data)
    assert equal(snapshot(make().deploy(model, run)), snapshot(model))


def test_frozen_layers_keep_their_statistics(data: Data) -> None:
    """And what draws has streams of its own."""
    chosen, run = method("ema", changes={"inner": "atop", "decay": None}), averaged(data)[2]
    model: Any = chosen.build(tiny.classifier, run)
    run.state = chosen.init(model, run) | {"ema/count": torch.tensor(1)}
    expected = snapshot(model.classifier)
    deployed: Any = chosen.deploy(model, run)
    assert equal(snapshot(deployed.classifier), expected)


def test_without_images_it_says_so(data: Data) -> None:
    chosen, model, run = averaged(data)
    run.pool = None
    with pytest.raises(ConfigError, match="ema with decay=none needs training images"):
        chosen.deploy(model, run)


def test_what_the_inner_method_deploys_is_around_the_average(batch: Batch, run: Run) -> None:
    chosen = method("ema", changes={"inner": "smoothing", "inner.attack.steps": 1})
    walk = Walk(chosen, batch, run)
    walk.step()
    deployed = chosen.deploy(walk.model, run)
    assert isinstance(deployed, Smoothed)
    weight = snapshot(deployed.base)["head.weight"]
    assert torch.equal(weight, run.state["ema/head.weight"])
    assert not weight.equal(snapshot(walk.model)["head.weight"])


def test_half_precision_is_averaged_as_it_is(run: Run) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("short", torch.ones(2, dtype=torch.float16))
            self.weight = nn.Parameter(torch.ones(4, 1))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :1] @ self.weight.T

    model, chosen = Half(), method("ema", changes={"inner": "natural"})
    run.state = chosen.init(model, run)
    batch = Batch(torch.rand(8, 1, 2, 2), torch.arange(8) % 4, torch.arange(8))
    chosen.step(model, batch, run, SGD(model.parameters(), 0.1))
    assert run.state["ema/short"].dtype == torch.float16
