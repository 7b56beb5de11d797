"""The slope of the loss at images, and training through it."""

import torch
import torch.nn.functional as F
from torch import nn

from robench.check import tiny
from robench.data.batches import Batch
from robench.training.slope import slope
from tests.conftest import Unsure


def test_each_row_is_the_gradient_of_its_own_image(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:5], unsure.batch.y[:5]
    for row, image, label in zip(slope(model, x, y), x, y, strict=True):
        leaf = image.clone().requires_grad_()
        F.cross_entropy(model(leaf[None])[0], label).backward()
        assert leaf.grad is not None
        assert row.abs().max() > 1e-3
        assert torch.allclose(row, leaf.grad, atol=1e-6)


def test_weights_learn_through_it(batch: Batch) -> None:
    """For a linear model and two classes it is (p - y) (w1 - w0): its square against hand work."""
    torch.manual_seed(0)
    model, x, y = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), batch.x, batch.y % 2
    weights = list(model.parameters())
    found = torch.autograd.grad(slope(model, x, y).square().sum(), weights)
    weight = weights[0]
    wrong = model(x).softmax(1).gather(1, 1 - y[:, None])
    by_hand = wrong.square().sum() * (weight[1] - weight[0]).square().sum()
    for one, other in zip(found, torch.autograd.grad(by_hand, weights), strict=True):
        assert one.abs().max() > 1e-3
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_images_and_parameters_are_left_alone(batch: Batch) -> None:
    torch.manual_seed(0)
    model = tiny.classifier().eval()
    slope(model, batch.x, batch.y).sum().backward()
    assert not batch.x.requires_grad
    assert batch.x.grad is None
    model.zero_grad()
    slope(model, batch.x, batch.y)
    assert all(p.grad is None for p in model.parameters())
