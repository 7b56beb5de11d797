"""Resize and pad: every draw is a shrunk image somewhere; what it reduces to; broken by EOT."""

import math

import pytest
import torch
from torch import Tensor

from robench.adversary.pgd import PGD, PGDAttack
from robench.check import tiny
from robench.models.resizing import RandomResize
from robench.training.method import Run, method
from tests.methods.deployed import deployed, held_out, standing


def shrunk(image: Tensor, side: int, top: int, left: int) -> Tensor:
    """Nearest neighbours, pixel by pixel, in a black frame."""
    old = image.shape[1]
    out = torch.zeros_like(image)
    for i in range(side):
        for j in range(side):
            near = (math.floor((i + 0.5) * old / side), math.floor((j + 0.5) * old / side))
            out[:, top + i, left + j] = image[:, near[0], near[1]]
    return out


def test_every_draw_is_the_image_at_some_size_in_some_place() -> None:
    torch.manual_seed(0)
    image, layer = 0.1 + 0.9 * torch.rand(3, 8, 8), RandomResize(0.75)
    places = {
        (side, top, left): shrunk(image, side, top, left)
        for side in (6, 7, 8)
        for top in range(9 - side)
        for left in range(9 - side)
    }
    seen = set()
    for out in layer(image.expand(300, -1, -1, -1)):
        (found,) = [place for place, expected in places.items() if torch.equal(out, expected)]
        seen.add(found)
    assert seen == set(places)  # 14; the rarest, of size 6, comes to a draw in 27


@pytest.mark.parametrize(("side", "sizes"), [(8, [7, 8]), (28, [25, 26, 27, 28]), (32, [29, 32])])
def test_sizes_are_relative_to_the_images(side: int, sizes: list[int]) -> None:
    torch.manual_seed(0)
    drawn = RandomResize(299 / 331)(torch.ones(200, 1, side, side))
    found = {int(one[0].amax(1).sum()) for one in drawn}
    assert (min(found), max(found)) == (sizes[0], sizes[-1])
    assert found >= set(sizes)


def test_without_a_range_it_is_its_inner_method_bit_for_bit(run: Run) -> None:
    torch.manual_seed(0)
    x, model = held_out()[0], tiny.classifier().eval()
    alone = method("resizepad", changes={"smallest": 1}).deploy(model, run)
    assert torch.equal(alone(x), model(x))
    ranged = method("resizepad", changes={"smallest": 0.5}).deploy(model, run)
    assert not torch.equal(ranged(x), ranged(x))


def test_gradients_reach_the_pixels_that_are_shown() -> None:
    torch.manual_seed(0)
    x = torch.rand(5, 3, 8, 8, requires_grad=True)
    out = RandomResize(0.75)(x)
    (grad,) = torch.autograd.grad(out.sum(), x)
    shown = (out > 0).flatten(1).sum(1)
    assert torch.equal(grad.flatten(1).sum(1), shown.float())
    assert set(grad.unique().tolist()) == {0, 1}


def test_pgd_is_fooled_and_eot_is_not() -> None:
    chosen = method("resizepad", changes={"smallest": 0.5})
    adaptive = chosen.adaptive("Linf")
    assert adaptive is not None
    assert chosen.adaptive("flow") is None
    assert (chosen.stochastic, method("natural").stochastic) == (True, False)
    model = deployed(chosen)
    pgd = PGDAttack(pgd=PGD(steps=20))
    fooled, found = (standing(model, attack, 0.25, looks=5) for attack in (pgd, adaptive))
    assert fooled > found + 0.3
