"""Images drawn besides the batch."""

import torch
from torch import Tensor

from robench.data.batches import Batch
from robench.data.load import Images
from robench.data.pool import Pool


def pool(y: list[int]) -> Pool:
    """Image i is a single pixel of value i."""
    pixels = torch.arange(len(y), dtype=torch.uint8).view(-1, 1, 1, 1)
    images = Images(pixels, torch.tensor(y), 1.0, torch.arange(len(y)))
    return Pool(images, lambda x: x + 100)


def batch(of: Pool, index: Tensor) -> Batch:
    return Batch(of.images.x(index), of.images.y[index], index)


def test_drawn_images_are_augmented_and_know_where_they_come_from() -> None:
    torch.manual_seed(0)
    found = pool([0, 1, 0, 2]).draw(1000)
    assert torch.equal(found.x.flatten(), found.index + 100.0)
    assert torch.equal(found.y, torch.tensor([0, 1, 0, 2])[found.index])
    assert (found.index.bincount() - 250).abs().max() < 60


def test_alike_is_another_image_of_the_class_each_as_likely() -> None:
    torch.manual_seed(0)
    of = pool([0, 1, 0, 0, 1])
    index = torch.arange(5).repeat(600)
    found = of.alike(batch(of, index))
    assert torch.equal(found.y, of.images.y[index])
    assert (found.index != index).all()
    partners = found.index[index == 0].bincount(minlength=5)
    assert partners.nonzero().flatten().tolist() == [2, 3]
    assert (partners[[2, 3]] - 300).abs().max() < 60


def test_alone_in_its_class_an_image_is_its_own_like() -> None:
    of = pool([0, 1, 1])
    assert of.alike(batch(of, torch.tensor([0]))).index.tolist() == [0]


def test_the_same_seed_draws_the_same() -> None:
    of = pool([0, 1, 0, 0, 1])
    torch.manual_seed(3)
    first = of.draw(20), of.alike(batch(of, torch.arange(5)))
    torch.manual_seed(3)
    second = of.draw(20), of.alike(batch(of, torch.arange(5)))
    assert all(torch.equal(a.index, b.index) for a, b in zip(first, second, strict=True))


def test_an_image_from_elsewhere_gets_any_of_its_class() -> None:
    torch.manual_seed(0)
    of, count = pool([0, 1, 0, 0, 1]), 1200
    y, index = (
        torch.tensor([0, 1, 0]).repeat(count // 3),
        torch.tensor([5, 99, 2]).repeat(count // 3),
    )
    found = of.alike(Batch(torch.zeros(count, 1, 1, 1), y, index))
    assert torch.equal(found.y, y)
    assert (found.index[index == 5].bincount(minlength=5)[[0, 2, 3]] - 133).abs().max() < 40
    assert (found.index[index == 99].bincount(minlength=5)[[1, 4]] - 200).abs().max() < 40
    assert set(found.index[index == 2].tolist()) == {0, 3}
