"""Splits, limits and ranges of the data sets that are here."""

from pathlib import Path

import pytest
import torch

from robench.data.load import Data, load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", Path("nowhere"), CPU)


def test_digits_come_with_robench(digits: Data) -> None:
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1078, 359, 360)
    x = digits.test.x()
    assert x.dtype == torch.float32
    assert x.shape == (360, 1, 8, 8)
    assert (x.min().item(), x.max().item()) == (0, 1)
    assert digits.test.y.unique().tolist() == list(range(10))


def test_parts_share_no_image(digits: Data) -> None:
    origins = torch.cat([part.origin for part in (digits.train, digits.validation, digits.test)])
    assert origins.sort().values.equal(torch.arange(1797))


def test_the_split_never_changes(digits: Data) -> None:
    # Known positions: a change here would silently change every number.
    assert digits.train.origin[:5].tolist() == [1081, 1707, 927, 713, 262]
    assert digits.test.origin[-5:].tolist() == [835, 1216, 1653, 559, 684]
    assert load("digits", Path("elsewhere"), CPU).digest == digits.digest


def test_a_smaller_limit_keeps_images_of_a_larger_one(digits: Data) -> None:
    large = load("digits", Path(), CPU, train_limit=300, test_limit=50)
    small = load("digits", Path(), CPU, train_limit=100, test_limit=20)
    assert (len(small.train), len(small.test)) == (100, 20)
    assert small.train.origin.equal(large.train.origin[:100])
    assert small.test.origin.equal(large.test.origin[:20])
    assert len(small.validation) == 359
    assert (small.train_limit, small.test_limit) == (100, 20)
    all_of_it = load("digits", Path(), CPU, train_limit=1078, test_limit=99999)
    assert (all_of_it.train_limit, all_of_it.test_limit) == (None, None)
    assert small.digest == digits.digest


@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [("mnist", (1, 28, 28), (55000, 5000, 10000)), ("cifar10", (3, 32, 32), (45000, 5000, 10000))],
)
def test_real_data(
    name: str, shape: tuple[int, ...], sizes: tuple[int, ...], data_root: Path
) -> None:
    data = load(name, data_root, CPU)
    assert (len(data.train), len(data.validation), len(data.test)) == sizes
    assert data.train.x(slice(3)).shape == (3, *shape)
    assert data.train.x(slice(500)).max() == 1
    assert data.test.y.bincount().min() > 800
    mean = data.train.x(slice(5000)).mean((0, 2, 3))
    if name == "cifar10":
        assert torch.allclose(mean, torch.tensor(data.facts.mean), atol=0.01)
