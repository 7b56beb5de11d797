"""Losses against slow loops and limit cases."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from robench.adversary.losses import (
    LOSSES,
    cross_entropy,
    dlr,
    kl,
    margin,
    scale_invariant,
    targeted_dlr,
)
from tests.conftest import Unsure

seeds = st.integers(0, 1000)


def logits_of(seed: int, classes: int = 5, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logits (32, classes) in double precision, and as many labels."""
    generator = torch.Generator().manual_seed(seed)
    f = scale * torch.randn(32, classes, generator=generator, dtype=torch.double)
    return f, torch.randint(0, classes, (32,), generator=generator)


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


@given(seeds, st.integers(3, 6), st.floats(0.01, 100))
def test_dlr_against_a_loop(seed: int, classes: int, scale: float) -> None:
    f, y = logits_of(seed, classes, scale)
    for i, row in enumerate(f.tolist()):
        label, largest = int(y[i]), sorted(row, reverse=True)
        other = max(value for k, value in enumerate(row) if k != label)
        expected = -(row[label] - other) / (largest[0] - largest[2])
        assert dlr(f, y)[i].item() == pytest.approx(expected, rel=1e-6)


@given(seeds, st.integers(4, 7), st.floats(0.01, 100))
def test_targeted_dlr_against_a_loop(seed: int, classes: int, scale: float) -> None:
    f, y = logits_of(seed, classes, scale)
    for shift in range(1, classes):
        target = (y + shift) % classes
        found = targeted_dlr(f, torch.stack([y, target], dim=1))
        for i, row in enumerate(f.tolist()):
            largest = sorted(row, reverse=True)
            spread = largest[0] - (largest[2] + largest[3]) / 2
            expected = -(row[int(y[i])] - row[int(target[i])]) / spread
            assert found[i].item() == pytest.approx(expected, rel=1e-6)


@given(seeds, st.integers(4, 7), st.floats(-100, 100), st.floats(0.001, 1000))
def test_dlr_knows_neither_shift_nor_scale(
    seed: int, classes: int, shift: float, scale: float
) -> None:
    f, y = logits_of(seed, classes)
    pair = torch.stack([y, (y + 1) % classes], dim=1)
    assert torch.allclose(dlr(scale * f + shift, y), dlr(f, y), rtol=1e-6)
    assert torch.allclose(targeted_dlr(scale * f + shift, pair), targeted_dlr(f, pair), rtol=1e-6)


@given(seeds, st.integers(2, 6))
def test_dlr_is_positive_exactly_where_the_prediction_is_wrong(seed: int, classes: int) -> None:
    f, y = logits_of(seed, classes)
    assert torch.equal(dlr(f, y).sign(), margin(f, y).sign())
    assert torch.equal(dlr(f, y) > 0, f.argmax(1) != y)


@given(seeds)
def test_dlr_lies_between_minus_one_and_one_where_the_prediction_is_right(seed: int) -> None:
    f, _ = logits_of(seed)
    value = dlr(f, f.argmax(1))
    assert (value <= 0).all()
    assert (value >= -1).all()


@given(seeds)
def test_few_classes_fall_back_to_the_margin(seed: int) -> None:
    for classes in (2, 3):
        f, y = logits_of(seed, classes)
        pair = torch.stack([y, (y + 1) % classes], dim=1)
        difference = [row[b] - row[a] for row, (a, b) in zip(f, pair, strict=True)]
        assert torch.equal(targeted_dlr(f, pair), torch.stack(difference))
    f, y = logits_of(seed, 2)
    assert torch.equal(dlr(f, y), margin(f, y))
    assert torch.equal(targeted_dlr(f, torch.stack([y, 1 - y], dim=1)), margin(f, y))


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_equal_logits_give_finite_values_and_gradients(classes: int) -> None:
    y = torch.arange(classes)
    tied = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])[:classes].expand(classes, classes)
    for (name, loss), equal in itertools.product(LOSSES.items(), (0 * tied, tied)):
        f = equal.clone().requires_grad_()
        values = loss(f, y)
        (slope,) = torch.autograd.grad(values.sum(), f)
        assert values.isfinite().all(), name
        assert slope.isfinite().all(), name


@given(seeds, st.floats(0.001, 1e4))
def test_scale_invariant_is_the_cross_entropy_of_logits_ten_apart(seed: int, scale: float) -> None:
    f, y = logits_of(seed)
    assert torch.allclose(scale_invariant(scale * f, y), scale_invariant(f, y), rtol=1e-6)
    top = f.topk(2, dim=1).values
    apart = f * (10 / (top[:, 0] - top[:, 1]))[:, None]
    assert torch.allclose(scale_invariant(f, y), cross_entropy(apart, y), rtol=1e-6)


def test_scale_invariant_has_the_gradient_that_saturated_cross_entropy_has_not(
    unsure: Unsure,
) -> None:
    """Logits times 10,000: the same predictions; of those that are right, the slope is lost."""
    right = unsure.model(unsure.batch.x).argmax(1) == unsure.batch.y
    x, y = unsure.batch.x[right], unsure.batch.y[right]
    slopes = {}
    for loss in (cross_entropy, scale_invariant):
        for scale in (1.0, 1e4):
            leaf = x.clone().requires_grad_()
            value = loss(scale * unsure.model(leaf), y).sum()
            slopes[loss, scale] = torch.autograd.grad(value, leaf)[0].flatten(1)
    lost = (slopes[cross_entropy, 1e4] == 0).all(1)
    assert lost.float().mean() > 0.9
    assert (slopes[cross_entropy, 1.0] != 0).any(1).all()
    own, loud = slopes[scale_invariant, 1.0], slopes[scale_invariant, 1e4]
    assert (loud != 0).any(1).all()
    assert (own.sign() == loud.sign()).float().mean() > 0.999  # but for zeros to rounding
    assert torch.cosine_similarity(own, loud).min() > 1 - 1e-5
