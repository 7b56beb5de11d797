"""Ways around what lets no gradient through: what is told forwards, and what backwards."""

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.blurred import Blurred
from robench.adversary.bpda import BPDA
from robench.adversary.pgd import PGD, PGDAttack
from robench.models.detour import Detour, around, opened
from robench.threat import Threat

LINF = Threat("Linf", 0.2)


class Rounded(Detour):
    """Ten levels; around them it is the identity."""

    def exact(self, x: Tensor) -> Tensor:
        return (10 * x).round() / 10

    def smooth(self, x: Tensor) -> Tensor:
        return x


def brightness() -> nn.Module:
    """Two logits: the mean of rounded pixels, and 0.5."""
    linear = nn.Linear(16, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.stack([torch.ones(16) / 16, torch.zeros(16)]))
        linear.bias.copy_(torch.tensor([0, 0.5]))
    return nn.Sequential(Rounded(), nn.Flatten(), linear).eval().requires_grad_(False)


def test_around_has_the_bits_of_one_and_the_gradient_of_the_other() -> None:
    torch.manual_seed(0)
    x = torch.rand(100, requires_grad=True)
    value, way = torch.randn(100) * 1e3, x**3
    out = around(value, way)
    assert torch.equal(out, value)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(grad, torch.autograd.grad((x**3).sum(), x)[0])


def test_detours_are_open_inside_and_closed_after_it_whatever_happens() -> None:
    layer = Rounded()
    model, x = nn.Sequential(layer), torch.rand(2, 4, requires_grad=True)

    def slope() -> Tensor:
        return torch.autograd.grad(model(x).sum(), x)[0]

    assert torch.equal(slope(), torch.zeros(2, 4))
    with suppress(ZeroDivisionError), opened(model):
        with opened(model):
            assert torch.equal(slope(), torch.ones(2, 4))
        assert torch.equal(slope(), torch.ones(2, 4))  # the inner one leaves it as it was
        raise ZeroDivisionError
    assert torch.equal(slope(), torch.zeros(2, 4))


def test_bpda_finds_what_its_attack_cannot() -> None:
    torch.manual_seed(0)
    model, x, y = (
        brightness(),
        0.5 + 0.15 * torch.rand(6, 1, 4, 4),
        torch.zeros(6, dtype=torch.long),
    )
    attack = PGDAttack(pgd=PGD(steps=10, start="none"))
    assert torch.equal(attack(model, x, y, LINF), x)
    found = BPDA(attack=attack)(model, x, y, LINF)
    assert (model(x).argmax(1) == 0).all()
    assert (model(found).argmax(1) == 1).all()
    assert LINF.distance(found, x).max() <= 0.2 + 1e-6


class Cubic(nn.Module):
    """Logits x^3 and 0 of one pixel; counts how often it is asked."""

    asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        pixel = x.flatten(1)
        return torch.cat([pixel**3, 0 * pixel], 1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_blurred_follows_the_mean_gradient_of_a_ball_and_is_told_the_truth(norm: str) -> None:
    threat, seen = Threat(norm, 0.4), []  # type: ignore[arg-type]
    x = torch.full((4000, 1, 1, 1), 0.5)

    def attack(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        assert not any(part.training for part in model.modules())
        leaf = x.clone().requires_grad_()
        logits = model(leaf)
        seen.extend([logits, torch.autograd.grad(logits[:, 0].sum(), leaf)[0]])
        return x

    model = Cubic().eval()
    torch.manual_seed(0)
    Blurred(attack=attack, radius=0.5, draws=3)(model, x, x.new_zeros(4000).long(), threat)
    assert model.asked == 4
    told, grad = seen
    assert torch.equal(told[:, 0], torch.full((4000,), 0.125))
    # The mean of 3 x^2 over the pixels from 0.3 to 0.7 is (0.7^3 - 0.3^3) / 0.4.
    assert grad.mean().item() == pytest.approx((0.7**3 - 0.3**3) / 0.4, rel=0.01)
    assert grad.std() > 0.05
    with torch.no_grad():
        Blurred(attack=lambda m, x, y, t: m(x), draws=3)(model, x, x.new_zeros(4000).long(), threat)
    assert model.asked == 5
