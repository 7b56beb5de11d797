"""Photographs that stay on the disk."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from robench.check import tiny
from robench.data.batches import batches
from robench.data.files import Files, folder
from robench.data.load import Data, Images, load
from robench.errors import DataError
from robench.threat import Threat
from robench.training.method import method
from robench.training.train import train

CPU = torch.device("cpu")


def photographs(root: Path, count: int, sides: tuple[int, int] = (40, 30)) -> None:
    """Of two classes: random colours, as JPEG and PNG, upright and across."""
    draw = np.random.RandomState(count)
    for number in range(count):
        where = root / f"n0{number % 2}"
        where.mkdir(parents=True, exist_ok=True)
        shape = sides if number % 3 else sides[::-1]
        picture = Image.fromarray(draw.randint(0, 256, (*shape, 3), dtype=np.uint8))
        picture.save(where / f"{number:03}.{'JPEG' if number % 4 else 'png'}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("root")
    photographs(where / "imagenet/train", 24)
    photographs(where / "imagenet/val", 6)
    return where


@pytest.fixture(scope="module")
def imagenet(root: Path) -> Data:
    return load("imagenet", root, CPU)


def test_parts_are_those_of_the_folders(imagenet: Data) -> None:
    assert (len(imagenet.train), len(imagenet.validation), len(imagenet.test)) == (22, 2, 6)
    assert sorted(imagenet.test.y.tolist()) == [0, 0, 0, 1, 1, 1]
    x = imagenet.test.x()
    assert (x.shape, x.dtype) == ((6, 3, 224, 224), torch.float32)
    assert x.min() >= 0
    assert x.max() <= 1


def test_a_label_is_the_place_of_its_folder(imagenet: Data) -> None:
    pixels = imagenet.train.pixels
    assert isinstance(pixels, Files)
    for name, y in zip(pixels.names, imagenet.train.y.tolist(), strict=True):
        assert str(name).startswith(f"n0{y}/")


def test_only_what_is_asked_for_is_read(imagenet: Data) -> None:
    read = mock.Mock(side_effect=lambda name: torch.zeros(3, 224, 224, dtype=torch.uint8))
    with mock.patch.object(Files, "_square", read):
        assert len(imagenet.train.first(5)) == 5
        assert read.call_count == 0
        imagenet.train.x(torch.tensor([3, 1]))
    names = imagenet.train.pixels
    assert isinstance(names, Files)
    assert [call.args[0] for call in read.call_args_list] == [names.names[3], names.names[1]]


@pytest.mark.parametrize(("size", "start"), [(4, 0), (4, 2), (22, 0), (100, 0), (4, 6)])
def test_batches_are_those_of_the_same_images_in_memory(root: Path, size: int, start: int) -> None:
    there = _small(root)
    held = replace(there, pixels=there.stored())
    order = torch.randperm(len(there), generator=torch.Generator().manual_seed(0))
    pairs = zip(batches(there, order, size, start), batches(held, order, size, start), strict=True)
    for one, two in pairs:
        assert torch.equal(one.x, two.x)
        assert torch.equal(one.y, two.y)
        assert torch.equal(one.index, two.index)


def test_at_most_two_batches_are_read_before_they_are_needed(root: Path) -> None:
    there, asked = _small(root), list[int]()
    x = Images.x

    def noted(images: Images, index: Tensor) -> Tensor:
        asked.append(len(index))
        return x(images, index)

    with mock.patch.object(Images, "x", noted):
        goes_on = batches(there, torch.arange(len(there)), 2)
        for taken in range(1, 4):
            next(goes_on)
            assert len(asked) <= taken + 1
        goes_on.close()  # type: ignore[attr-defined]


def test_training_is_that_of_the_same_images_in_memory(root: Path) -> None:
    there = _small(root)
    held = replace(there, pixels=there.stored())
    found = []
    for images in (there, held):
        data = replace(tiny.data(), train=images, validation=images)
        trained = train(
            method("madry"), tiny.classifier, data, replace(tiny.RECIPE, batch_size=5, epochs=2),
            Threat("Linf", 0.1), 0, lambda event: None,
        )  # fmt: skip
        found.append(trained.last.tensors)
    for name, tensor in found[0].items():
        assert torch.equal(tensor, found[1][name])


def test_a_photograph_is_cut_to_its_middle(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), dtype=np.uint8)
    wide[:, 15:33] = 200
    (tmp_path / "a").mkdir()
    Image.fromarray(wide).save(tmp_path / "a/one.png")
    files, _ = folder(tmp_path, 14)
    assert files.read().unique().tolist() == [200]


def test_grey_photographs_have_three_channels(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((20, 20), 7, dtype=np.uint8)).save(tmp_path / "a/one.png")
    assert folder(tmp_path, 8)[0].read().unique().tolist() == [7]


def test_the_digest_is_of_names_and_sizes(tmp_path: Path) -> None:
    photographs(tmp_path / "a", 4)
    before = folder(tmp_path / "a", 8)[0].digest
    assert folder(tmp_path / "a", 8)[0].digest == before
    (tmp_path / "a/n00/000.png").rename(tmp_path / "a/n00/001.png")
    assert folder(tmp_path / "a", 8)[0].digest != before


def test_a_file_that_is_no_photograph_is_named(root: Path, tmp_path: Path) -> None:
    photographs(tmp_path / "imagenet/train", 12)
    photographs(tmp_path / "imagenet/val", 2)
    (tmp_path / "imagenet/val/n00/000.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"n00/000\.png cannot be read"):
        load("imagenet", tmp_path, CPU).test.x()


def test_other_classes_to_test_than_to_train_are_refused(tmp_path: Path) -> None:
    photographs(tmp_path / "imagenet/train", 4)
    photographs(tmp_path / "imagenet/val", 1)
    with pytest.raises(DataError, match="imagenet is damaged or incomplete"):
        load("imagenet", tmp_path, CPU)


def test_archives_that_nobody_may_fetch(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image-net\.org"):
        load("imagenet", tmp_path, CPU, download=True)


def _small(root: Path) -> Images:
    files, y = folder(root / "imagenet/train", 8)
    return Images(files, torch.from_numpy(y), 255.0, torch.arange(len(y)))
