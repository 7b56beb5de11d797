"""k-WTA: its layer against a loop, what it reduces to, every network, and broken by Square."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.square import Square
from robench.check import tiny
from robench.data.batches import Batch
from robench.data.catalogue import DATASETS
from robench.errors import ConfigError
from robench.models.catalogue import build
from robench.models.prepared import prepared
from robench.models.rectifiers import rectifiers, replaced
from robench.models.winners import Winners
from robench.training.method import Run, method
from tests.methods.deployed import deployed, standing

RECTIFIERS = {
    "digitscnn": ("digits", 4),
    "smallcnn": ("mnist", 6),
    "resnet20": ("cifar10", 19),
    "preactresnet18": ("cifar10", 17),
}
"""Networks, their data sets, and how many rectifiers they have."""


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_winners_against_a_loop(share: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 2)
    found = Winners(share)(x)
    for image, out in zip(x, found, strict=True):
        values = image.flatten().tolist()
        winners = sorted(values, reverse=True)[: max(1, int(share * len(values)))]
        expected = [max(v, 0.0) if v in winners else 0.0 for v in values]
        assert out.flatten().tolist() == expected


def test_gradients_go_to_winners() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0, -1.0]], requires_grad=True)
    (grad,) = torch.autograd.grad(Winners(0.5)(x).sum(), x)
    assert grad.tolist() == [[1, 0, 1, 0]]


def test_when_all_win_it_trains_as_its_inner_method_bit_for_bit(batch: Batch, run: Run) -> None:
    found = []
    for chosen in (method("kwta", changes={"gamma": 1.0}), method("madry"), method("kwta")):
        torch.manual_seed(3)
        model = chosen.build(tiny.classifier, run)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            chosen.step(model.train(), batch, run, optimizer)
        found.append([*model.state_dict().values(), model.eval()(batch.x)])
    assert all(torch.equal(one, other) for one, other in zip(*found[:2], strict=True))
    assert not torch.equal(found[0][-1], found[2][-1])


@pytest.mark.parametrize("name", RECTIFIERS)
def test_networks_with_winners(name: str) -> None:
    dataset, count = RECTIFIERS[name]
    facts = DATASETS[dataset]
    torch.manual_seed(0)
    network = build(name, facts, normalise=True)
    assert len(rectifiers(network)) == count
    plain = {key: value.clone() for key, value in network.state_dict().items()}
    replaced(network, lambda: Winners(0.1))
    assert sum(isinstance(part, Winners) for part in network.modules()) == count
    assert not any(isinstance(part, nn.ReLU) for part in network.modules())
    assert all(torch.equal(plain[key], value) for key, value in network.state_dict().items())
    x = torch.rand(2, *facts.shape)
    network.eval()
    assert network(x).shape == (2, facts.num_classes)
    assert prepared(network, x) is network  # a trace would not hold for other numbers of winners


def test_pgd_is_fooled_and_square_is_not() -> None:
    """With fewer restarts, and fewer winners than the authors' on so small a network."""
    chosen = method("kwta", changes={"inner": "natural", "gamma": 0.05})
    adaptive = chosen.adaptive("Linf")
    assert isinstance(adaptive, Square)
    assert chosen.adaptive("flow") is None
    model = deployed(chosen)
    fooled = standing(model, PGDAttack(pgd=PGD(steps=20)), 0.2)
    found = standing(model, replace(adaptive, restarts=2), 0.2)
    assert fooled > found + 0.25


def test_a_rectifier_in_two_places_gives_way_in_both() -> None:
    relu = nn.ReLU()
    network = replaced(nn.Sequential(relu, nn.Linear(4, 4), nn.Sequential(relu)), nn.Identity)
    assert not any(isinstance(part, nn.ReLU) for part in network.modules())


def test_a_network_without_rectifiers_is_refused(run: Run) -> None:
    leaky = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.LeakyReLU(0.1))
    with pytest.raises(ConfigError, match=r"has no nn\.ReLU"):
        method("kwta").build(lambda: leaky, run)
