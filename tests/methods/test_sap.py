"""SAP: its probabilities against a loop, no bias, what it reduces to, and broken by EOT."""

import pytest
import torch
from torch import nn

from robench.adversary.pgd import PGD, PGDAttack
from robench.check import tiny
from robench.errors import ConfigError
from robench.models.prepared import prepared
from robench.models.pruning import Pruning
from robench.training.method import Run, method
from tests.conftest import Unsure
from tests.methods.deployed import deployed, held_out, standing


@pytest.mark.parametrize("share", [0.1, 1.0, 3.5])
def test_probabilities_against_a_loop(share: float) -> None:
    torch.manual_seed(0)
    active = torch.randn(3, 4, 2, 2).relu()
    found = Pruning(share).kept(active)
    for image, probabilities in zip(active, found, strict=True):
        total, draws = image.sum().item(), share * image.numel()
        pairs = zip(image.flatten().tolist(), probabilities.flatten().tolist(), strict=True)
        for value, probability in pairs:
            assert probability == pytest.approx(1 - (1 - value / total) ** draws, abs=1e-6)


def test_large_activations_are_kept_more_often_and_means_stay() -> None:
    torch.manual_seed(0)
    layer, x = Pruning(1.0), torch.tensor([[-1.0, 0.0, 0.2, 1.0, 3.0]])
    draws = layer(x.expand(40_000, -1))
    often = (draws > 0).float().mean(0)
    assert often[:2].sum() == 0
    assert often[2] < often[3] < often[4] < 1
    kept = layer.kept(x.relu())[0]
    assert torch.allclose(often, kept, atol=0.01)
    deviation = x.relu()[0] * ((1 - kept) / kept.clamp_min(1e-9) / 40_000).sqrt()
    assert ((draws.mean(0) - x.relu()[0]).abs() <= 5 * deviation).all()


def test_gradients_pass_what_was_kept_and_have_no_bias_either() -> None:
    torch.manual_seed(0)
    layer, x = Pruning(1.0), torch.rand(20_000, 4, requires_grad=True)
    out = layer(x)
    (found,) = torch.autograd.grad(out.sum(), x)
    kept = layer.kept(x.detach())
    assert torch.allclose(found, (out > 0) / kept)
    assert found.mean().item() == pytest.approx(1, abs=0.02)


def test_a_layer_that_is_all_zero_or_all_but_one() -> None:
    x = torch.zeros(2, 6)
    x[1, 3] = 2.0
    assert torch.equal(Pruning(1.0)(x), x)


def test_many_draws_are_the_original_network(unsure: Unsure, run: Run) -> None:
    chosen = method("sap", changes={"share": 1e12})
    pruned = chosen.deploy(unsure.model, run)
    assert sum(isinstance(part, Pruning) for part in pruned.modules()) == 3
    assert torch.equal(pruned(unsure.batch.x), unsure.model(unsure.batch.x))
    few = method("sap").deploy(unsure.model, run)
    assert not torch.equal(few(unsure.batch.x), few(unsure.batch.x))


def test_training_knows_nothing_of_it(run: Run) -> None:
    """The network that is trained stays as it is when it is deployed."""
    chosen = method("sap")
    model = chosen.build(tiny.classifier, run)
    chosen.deploy(model, run)
    assert sum(isinstance(part, nn.ReLU) for part in model.modules()) == 2
    assert type(chosen).step is not None
    assert (chosen.stochastic, method("natural").stochastic) == (True, False)


def test_a_network_without_rectifiers_is_refused_before_training(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"has no nn\.ReLU"):
        method("sap").build(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), run)


def test_what_is_attacked_still_draws(run: Run) -> None:
    x, _ = held_out()
    pruned = method("sap").deploy(tiny.classifier(), run).eval()
    fast = prepared(pruned, x)
    with torch.no_grad():
        assert not torch.equal(fast(x), fast(x))


def test_pgd_is_fooled_and_eot_is_not() -> None:
    chosen = method("sap")
    adaptive = chosen.adaptive("L2")
    assert adaptive is not None
    assert chosen.adaptive("flow") is None
    model = deployed(chosen)
    pgd = PGDAttack(pgd=PGD(steps=20))
    fooled, found = (standing(model, attack, EPS, looks=5) for attack in (pgd, adaptive))
    assert fooled > found + 0.3


EPS = 0.25
