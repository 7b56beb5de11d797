"""Thermometer codes: against a loop, without gradient, on every network, and broken by BPDA."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from robench.adversary.blurred import Blurred
from robench.adversary.bpda import BPDA
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.square import Square
from robench.check import tiny
from robench.data.batches import Batch
from robench.data.catalogue import DATASETS
from robench.errors import ConfigError
from robench.models.catalogue import build
from robench.models.classifier import Network
from robench.models.detour import opened
from robench.models.passes import Passes, counted
from robench.models.thermometer import Thermometer, encoded
from robench.training.method import Run, method
from tests.methods.costs import spent
from tests.methods.deployed import deployed, standing

NETWORKS = {"digitscnn": "digits", "smallcnn": "mnist", "resnet20": "cifar10"}


@pytest.mark.parametrize("levels", [1, 4, 16])
def test_code_against_a_loop(levels: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 4, 5)
    x[0, 0, 0] = torch.tensor([0, 0.25, 0.5, 0.75, 1])  # on the thresholds
    code, layer = Thermometer(levels)(x), Thermometer(levels)
    smooth = layer.smooth(x)
    assert code.shape == (2, 3 * levels, 4, 5)
    for b, c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        for k in range(levels):
            pixel, light = x[b, c, i, j].item(), c * levels + k
            assert code[b, light, i, j] == (1 if pixel >= k / levels else 0)
            between = min(max(levels * pixel - (k - 1), 0), 1)
            assert smooth[b, light, i, j].item() == pytest.approx(between, abs=1e-5)


@given(pixel=st.integers(0, 255), levels=st.integers(1, 32))
def test_as_many_lights_as_a_pixel_is_bright(pixel: int, levels: int) -> None:
    code = Thermometer(levels)(torch.full((1, 1, 1, 1), pixel / 255))[0, :, 0, 0]
    on = int(code.sum())
    assert code.tolist() == [1.0] * on + [0.0] * (levels - on)
    assert on == min(levels, 1 + math.floor(levels * pixel / 255 + 1e-6))


def test_no_gradient_but_around_it() -> None:
    torch.manual_seed(0)
    layer, x = Thermometer(16), torch.rand(2, 1, 4, 4, requires_grad=True)
    weight = torch.randn(16, 1, 1)
    closed = layer(x)
    (nothing,) = torch.autograd.grad((closed * weight).sum(), x)
    with opened(nn.Sequential(layer)):
        through = layer(x)
    (found,) = torch.autograd.grad((through * weight).sum(), x)
    (smooth,) = torch.autograd.grad((layer.smooth(x) * weight).sum(), x)
    assert torch.equal(closed, through)
    assert torch.equal(nothing, torch.zeros_like(x))
    assert torch.equal(found, smooth)
    assert torch.equal(found != 0, x < 15 / 16)  # above, all lights are on


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_see_the_code_and_nothing_else(name: str) -> None:
    facts = DATASETS[NETWORKS[name]]
    torch.manual_seed(0)
    plain = build(name, facts, normalise=True)
    first = next(part for part in plain.modules() if isinstance(part, nn.Conv2d))
    network = encoded(plain, 4).eval()
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert convolutions[0].weight.shape[1] == 4 * facts.shape[0]
    assert convolutions[0].weight.shape[::2] == first.weight.shape[::2]
    nn.init.normal_(network.head.weight)  # type: ignore[union-attr,arg-type]
    dark = torch.full((1, *facts.shape), 0.26)
    with counted(network) as passes:
        same, brighter = network(torch.cat([dark, dark + 0.2])), network(dark + 0.3)
    assert passes.forwards == 3
    assert torch.allclose(same[0], same[1], atol=1e-5)
    assert not torch.allclose(same[:1], brighter, atol=1e-3)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "needs a network, not a Sequential"),
        (Network(nn.Flatten(), nn.Linear(192, 4)), "with a Conv2d, which this one lacks"),
    ],
)
def test_networks_that_cannot_see_it_are_refused(network: nn.Module, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        encoded(network, 4)


def test_one_level_shows_nothing() -> None:
    torch.manual_seed(0)
    network = encoded(tiny.classifier(), 1).eval()
    logits = network(torch.rand(8, 3, 8, 8))
    assert torch.equal(logits, network(torch.ones(8, 3, 8, 8)))


def test_training_attacks_go_around_it(batch: Batch, run: Run) -> None:
    """The inner attack, from the image itself, is PGD on the smooth code's gradient."""
    chosen = method("thermometer", changes={"inner.attack.start": "none"})
    model = chosen.build(tiny.classifier, run).eval()
    found = chosen.perturb(model, batch, run)
    attack = PGD(steps=7, start="none")
    assert torch.equal(attack(model, batch.x, batch.y, run.threat), batch.x)
    with opened(model):
        expected = attack(model, batch.x, batch.y, run.threat)
    assert torch.equal(found, expected)
    assert not torch.equal(found, batch.x)
    assert not any(getattr(part, "is_open", False) for part in model.modules())


def test_passes_of_a_step_are_its_inner_methods(batch: Batch, run: Run) -> None:
    chosen = method("thermometer")
    model = chosen.build(tiny.classifier, run)
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(8, 8)


def test_pgd_is_fooled_and_bpda_is_not() -> None:
    chosen = method("thermometer", changes={"inner": "natural"})
    adaptive = chosen.adaptive("Linf")
    assert adaptive is not None
    assert chosen.adaptive("flow") is None
    model = deployed(chosen)
    assert standing(model, PGDAttack(pgd=PGD(steps=20)), 0.3) > 0.9
    assert standing(model, adaptive, 0.3) < 0.1


def test_it_breaks_more_than_pgd_on_the_margin_and_a_black_box() -> None:
    """With an adversarially trained method inside, where those two leave half and more."""
    chosen, eps = method("thermometer"), 0.235
    model, adaptive = deployed(chosen), chosen.adaptive("Linf")
    assert adaptive is not None
    weaker = BPDA(attack=PGDAttack(pgd=PGD(steps=40), loss="margin"))
    left = standing(model, adaptive, eps)
    assert left < 0.3
    assert standing(model, Blurred(attack=weaker, radius=0.5, draws=5), eps) > left + 0.2
    assert standing(model, Square(queries=1000), eps) > left + 0.2
