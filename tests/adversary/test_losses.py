"""Losses against slow loops and limit cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robench.adversary.losses import cross_entropy, kl, margin


@given(st.integers(0, 1000), st.floats(0.1, 50))
def test_against_loops(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    f, g = (scale * torch.randn(8, 5, generator=generator, dtype=torch.double) for _ in range(2))
    y = torch.randint(0, 5, (8,), generator=generator)
    p, q = g.softmax(1), f.softmax(1)
    for i in range(8):
        label = int(y[i])
        others = [f[i, k].item() for k in range(5) if k != label]
        divergence = sum(
            p[i, k].item() * (math.log(p[i, k].item()) - math.log(q[i, k].item())) for k in range(5)
        )
        expected = (-math.log(q[i, label].item()), max(others) - f[i, label].item(), divergence)
        found = (cross_entropy(f, y)[i], margin(f, y)[i], kl(f, g)[i])
        for one, other in zip(found, expected, strict=True):
            assert one.item() == pytest.approx(other, rel=1e-6, abs=1e-9)


@given(st.integers(0, 1000))
def test_margin_is_positive_exactly_where_the_prediction_is_wrong(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    f = torch.randn(32, 4, generator=generator)
    y = torch.randint(0, 4, (32,), generator=generator)
    assert torch.equal(margin(f, y) > 0, f.argmax(1) != y)


def test_kl_is_zero_at_equality_and_finite_when_probabilities_underflow() -> None:
    f = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], requires_grad=True)
    g = torch.tensor([[-1e4, 0.0, 1e4], [5.0, 0.0, 0.0]], requires_grad=True)
    assert torch.equal(kl(f, f), torch.zeros(2))
    value = kl(f, g)
    assert (value >= 0).all()
    gradients = torch.autograd.grad(value.sum(), [f, g])
    assert all(gradient.isfinite().all() for gradient in gradients)
