"""The generator: images of any size, what its loss is, and that it learns what an image shows."""

import math

import pytest
import torch
from torch import Tensor

from robench.check import tiny
from robench.models.generator import Generator


@pytest.mark.parametrize("classes", [0, 7])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 5, 9), (1, 3, 3)])
def test_images_of_any_size(shape: tuple[int, int, int], classes: int) -> None:
    torch.manual_seed(0)
    made, x, y = Generator(shape, 6, 4, classes), torch.rand(5, *shape), torch.arange(5)
    images = made(torch.randn(5, 6), y if classes else None)
    assert images.shape == x.shape
    assert 0 < images.min() < images.max() < 1
    assert made.encode(x, y)[0].shape == (5, 6)
    made.loss(x, y).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.parameters())


def test_classes_are_shown_to_both_ways() -> None:
    torch.manual_seed(0)
    made, x, z = Generator((1, 8, 8), 4, 4, 3), torch.rand(1, 1, 8, 8), torch.randn(1, 4)
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert not torch.equal(made(z, zero), made(z, one))
    assert not torch.equal(made.encode(x, zero)[0], made.encode(x, one)[0])
    plain = Generator((1, 8, 8), 4, 4)
    assert torch.equal(plain(z, zero), plain(z))


def test_loss_against_a_loop() -> None:
    """Minus log-likelihood at the best deviation, without its constant, plus the KL divergence."""
    torch.manual_seed(0)
    made, x = Generator((1, 8, 8), 3, 4), torch.rand(5, 1, 8, 8)
    mean, log_variance = (code.tolist() for code in made.encode(x))
    torch.manual_seed(9)
    found = made.loss(x).item()
    torch.manual_seed(9)
    noise = torch.randn(5, 3).tolist()
    squares = divergence = 0.0
    for image, m, v, n in zip(x, mean, log_variance, noise, strict=True):
        z = [a + math.exp(b / 2) * c for a, b, c in zip(m, v, n, strict=True)]
        divergence += sum((a * a + math.exp(b) - b - 1) / 2 for a, b in zip(m, v, strict=True))
        rebuilt = made(torch.tensor([z]))[0].flatten().tolist()
        squares += sum((a - b) ** 2 for a, b in zip(rebuilt, image.flatten().tolist(), strict=True))
    variance = squares / (5 * 64)
    assert found == pytest.approx(64 / 2 * math.log(variance) + divergence / 5, rel=1e-4)


def test_it_learns_what_its_classes_look_like() -> None:
    """Quarters of the tiny task's images, bright where the class is, from codes nobody has seen."""
    data = tiny.data()
    x, y = data.train.x(), data.train.y
    torch.manual_seed(0)
    made = Generator(tiny.FACTS.shape, 4, 4, tiny.FACTS.num_classes)
    optimizer = torch.optim.Adam(made.parameters(), 2e-2)
    for index in torch.randint(len(x), (60, 32)):
        optimizer.zero_grad()
        made.loss(x[index], y[index]).backward()
        optimizer.step()
    label = torch.arange(40) % 4
    with torch.no_grad():
        assert torch.equal(brightest(made(torch.randn(40, 4), label)), label)
    assert torch.equal(brightest(x), y)


def brightest(x: Tensor) -> Tensor:
    """The quarter with the largest mean: top left, top right, bottom left, bottom right."""
    means = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4)
    return means.flatten(1).argmax(1)
