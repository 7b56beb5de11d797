"""DM-AT, and the smoothed TRADES in it: the loss against a slow loop, and what they reduce to."""

import math
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.epochs import new_run
from robench.training.method import Method, Run, method
from robench.training.mixed import Mixed
from robench.training.train import Checkpoint, train
from robench.training.wrapper import layers
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)
RECIPE = replace(tiny.RECIPE, epochs=2)


def loss(**changes: object) -> Method:
    return method("trades_ls", changes=changes)


def dmat(**changes: object) -> Mixed:
    return cast(Mixed, method("dmat", changes=changes))


def loop(natural: Tensor, attacked: Tensor, y: Tensor, beta: float, smoothing: float) -> float:
    """Number by number: the labels' cross-entropy, and KL(natural || attacked)."""
    total = 0.0
    for f, g, label in zip(natural.tolist(), attacked.tolist(), y.tolist(), strict=True):
        p, q = ([math.exp(v) / sum(map(math.exp, logits)) for v in logits] for logits in (f, g))
        for k in range(len(f)):
            target = (1 - smoothing) * (k == label) + smoothing / len(f)
            total += -target * math.log(p[k]) + beta * p[k] * math.log(p[k] / q[k])
    return total / len(y)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_loss_against_a_loop(beta: float, smoothing: float, unsure: Unsure) -> None:
    torch.manual_seed(0)
    model, batch = unsure.model, unsure.batch
    attacked = LINF.random_start(batch.x)
    found = loss(beta=beta, smoothing=smoothing).loss(model, batch, attacked, Run(LINF, 256, 4, 3))
    expected = loop(model(batch.x), model(attacked), batch.y, beta, smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_without_smoothing_it_trains_as_trades_bit_for_bit(batch: Batch, run: Run) -> None:
    same = {"smoothing": 0, "attack.start": "gaussian", "beta": 6}
    found = []
    for chosen in (loss(**same), method("trades"), loss(**same | {"smoothing": 0.1})):
        torch.manual_seed(1)
        model = tiny.classifier()
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        for _ in range(3):
            chosen.step(model.train(), batch, run, optimizer)
        found.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("steps", [0, 3])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), loss(**{"attack.steps": steps})
    declared = chosen.passes("train")
    assert spent(chosen, model, batch, run) == declared == Passes(steps + 3, steps + 2)


def fit(chosen: Method) -> Checkpoint:
    data = tiny.data(96)
    more = replace(data, extra=data.validation)
    recipe = replace(RECIPE, augment="crop", pad=1)
    return train(chosen, tiny.classifier, more, recipe, LINF, 3, lambda event: None).last


def test_its_parts_are_port_ema_and_the_loss() -> None:
    chosen = dmat(extra="a.npz")
    assert [layer.choice for layer in layers(chosen)] == ["dmat", "ema", "trades_ls"]
    same = method(
        "port",
        changes={
            "real": 0.3, "extra": "a.npz", "inner": "ema", "inner.inner": "trades_ls",
            "inner.decay": 0.995, "inner.start": 0.025,
        },
    )  # fmt: skip
    assert chosen.inner == cast(Mixed, same).inner
    one, other = fit(chosen), fit(same)
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert one.validation == other.validation


def test_at_its_limits_it_is_its_loss() -> None:
    chosen = dmat(real=1, **{"inner.decay": 0})
    one, other = fit(chosen), fit(method("trades_ls"))
    assert all(torch.equal(one.tensors[name], value) for name, value in other.tensors.items())
    assert one.validation == other.validation


def test_averaged_weights_are_deployed() -> None:
    data = tiny.data(96)
    run = new_run(replace(data, extra=data.validation), LINF, tiny.RECIPE)
    chosen = dmat(extra="a.npz")
    torch.manual_seed(0)
    model = chosen.build(tiny.classifier, run)
    run.state, run.progress = chosen.init(model, run), 0.5
    optimizer, index = torch.optim.SGD(model.parameters(), 0.1), torch.arange(64)
    batch = Batch(data.train.x(index), data.train.y[index], index)
    for _ in range(4):
        chosen.step(model.train(), batch, run, optimizer)
    deployed = dict(chosen.deploy(model, run).named_parameters())
    for name, value in model.named_parameters():
        assert torch.equal(deployed[name], run.state[f"ema/{name}"])
        assert value.ndim < 2 or not torch.equal(deployed[name], value)


def test_presets() -> None:
    for dataset in ("*", "digits", "mnist", "cifar10"):
        chosen, other = dmat_at(dataset), cast(Mixed, method("port", dataset))
        assert chosen.real == 0.3
        for name in ("samples", "extra", "generator_share", "latent", "width"):
            assert getattr(chosen, name) == getattr(other, name)
        *_, innermost = layers(chosen)
        assert innermost == method("trades_ls", dataset)
    *_, cifar = layers(dmat_at("cifar10"))
    assert cifar.attack == PGD(steps=10, step_size=2 / 255)  # type: ignore[attr-defined]


def dmat_at(dataset: str) -> Mixed:
    return cast(Mixed, method("dmat", dataset))
