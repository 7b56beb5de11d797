"""CIFAR-10-C's files: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from robench.data.cifar10c import Published
from robench.data.load import Images
from robench.errors import DataError

COUNT = 20
LABELS = np.arange(COUNT) * 7 % 10


def images() -> Images:
    """Fifteen of the twenty test images in a mixed order."""
    origin = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:15]
    y = torch.from_numpy(LABELS)[origin]
    return Images(torch.zeros(15, 3, 32, 32, dtype=torch.uint8), y, 255.0, origin)


TEST = images()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "labels.npy", np.tile(LABELS, 5).astype(np.uint8))
    np.save(tmp_path / "fog.npy", rng.integers(0, 256, (5 * COUNT, 32, 32, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize("severity", [1, 2, 5])
def test_a_severity_is_a_fifth_in_the_test_images_order(folder: Path, severity: int) -> None:
    files = Published(folder, COUNT)
    files.check(TEST)
    found = files.version("fog", severity, TEST.origin)
    assert found.shape == (15, 3, 32, 32)
    assert found.dtype == torch.uint8
    whole = np.load(folder / "fog.npy", allow_pickle=False)
    for image, origin in zip(found, TEST.origin, strict=True):
        wanted = whole[(severity - 1) * COUNT + origin]
        assert np.array_equal(image.numpy(), wanted.transpose(2, 0, 1))


def test_absent_files_are_named_with_where_they_come_from(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*snow\.npy; unpack CIFAR-10-C\.tar of zenodo"):
        Published(folder, COUNT).version("snow", 1, TEST.origin)
    with pytest.raises(DataError, match=r"no file .*labels\.npy"):
        Published(folder / "nowhere", COUNT).check(TEST)


@pytest.mark.parametrize("severity", [1, 5])
def test_labels_of_other_images_are_refused(folder: Path, severity: int) -> None:
    labels = np.tile(LABELS, 5)
    labels[(severity - 1) * COUNT + int(TEST.origin[3])] += 1
    np.save(folder / "labels.npy", labels.astype(np.uint8))
    with pytest.raises(DataError, match=f"labels of severity {severity} are not those of CIFAR-10"):
        Published(folder, COUNT).check(TEST)


def test_files_of_another_size_or_kind_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"labels.npy is uint8 \(100,\) and not uint8 \(50000,\)"):
        Published(folder).check(TEST)
    for other in (np.zeros((5 * COUNT, 32, 32, 3)), np.zeros((5 * COUNT, 32, 32), np.uint8)):
        np.save(folder / "fog.npy", other)
        with pytest.raises(DataError, match=r"fog.npy is .* and not uint8 \(100, 32, 32, 3\)"):
            Published(folder, COUNT).version("fog", 1, TEST.origin)
    np.savez(folder / "archive.npz", np.zeros(3))
    (folder / "archive.npz").replace(folder / "fog.npy")
    with pytest.raises(DataError, match=r"fog.npy is no array"):
        Published(folder, COUNT).version("fog", 1, TEST.origin)


def test_damaged_files_are_named(folder: Path) -> None:
    whole = (folder / "fog.npy").read_bytes()
    for damaged in (whole[:-1000], whole[:50], b"", b"no array at all"):
        (folder / "fog.npy").write_bytes(damaged)
        with pytest.raises(DataError, match=r"fog\.npy is damaged: ") as error:
            Published(folder, COUNT).version("fog", 1, TEST.origin)
        assert "\n" not in str(error.value)


def test_objects_are_not_unpickled(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (folder / "boom",)

    np.save(folder / "labels.npy", np.array([Bomb()] * 5 * COUNT, object))
    with pytest.raises(DataError, match=r"labels\.npy is damaged: "):
        Published(folder, COUNT).check(TEST)
    assert not (folder / "boom").exists()
