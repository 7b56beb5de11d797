"""Reading official files and downloading them, with local files that look like them."""

import gc
import gzip
import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image

from robench.data.load import load
from robench.errors import DataError

CPU = torch.device("cpu")


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in MNIST's file format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def mnist_files(train: int = 40, test: int = 20) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {}
    for name, count in (("train", train), ("t10k", test)):
        files[f"{name}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (count, 28, 28)))
        files[f"{name}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return files


def write_mnist(root: Path, folder: str = "MNIST") -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, content in mnist_files().items():
        (raw / name).write_bytes(content)
    return raw


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_mnist_and_its_kin(name: str, folder: str, tmp_path: Path) -> None:
    write_mnist(tmp_path, folder)
    data = load(name, tmp_path, CPU)
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 20)
    assert data.test.x().shape == (20, 1, 28, 28)
    assert data.train.x().max() == 1


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar-100-python"), ("svhn", "train_32x32.mat"),
        ("imagenette", "imagenette2-160"),
    ],
)  # fmt: skip
def test_missing_data_says_where_it_was_looked_for(name: str, folder: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-root .* --download") as error:
        load(name, tmp_path, CPU)
    assert f"{tmp_path / folder} is not there" in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 3, 100])
def test_a_truncated_file_is_named(length: int, tmp_path: Path) -> None:
    images = write_mnist(tmp_path) / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:length])
    with pytest.raises(DataError, match=r"mnist: .*MNIST/raw is damaged or incomplete"):
        load("mnist", tmp_path, CPU)


def test_wrong_contents_are_refused(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(np.full(40, 11)))
    with pytest.raises(DataError, match="not in 0-9"):
        load("mnist", tmp_path, CPU)
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(39) % 10))
    with pytest.raises(DataError, match="40"):
        load("mnist", tmp_path, CPU)


def test_download_from_a_local_mirror(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, resources = tmp_path / "mirror", []
    mirror.mkdir()
    for name, content in mnist_files().items():
        packed = gzip.compress(content)
        (mirror / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{served}/mirror/"])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    data = load("mnist", tmp_path / "data", CPU, download=True)
    assert len(data.test) == 20
    assert load("mnist", tmp_path / "data", CPU).digest == data.digest


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_download_is_one_clear_error(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = [f"{served}/nowhere/"]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", nowhere)
    with pytest.raises(DataError, match=r"mnist could not be downloaded to .*MNIST/raw"):
        load("mnist", tmp_path / "data", CPU, download=True)
    gc.collect()  # torchvision leaves the socket of a refused download to the collector


def test_svhn_reads_matlab_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = dict(torchvision.datasets.SVHN.split_list)
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 20)):
        path = tmp_path / f"{part}_32x32.mat"
        pixels = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        scipy.io.savemat(path, {"X": pixels, "y": (np.arange(count) % 10 + 1)[:, None]})
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        splits[part] = [splits[part][0], path.name, digest]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", splits)
    data = load("svhn", tmp_path, CPU)
    assert data.test.x().shape == (20, 3, 32, 32)
    assert sorted(data.test.y.unique().tolist()) == list(range(10))  # 10 means the digit 0


def write_imagenette(root: Path) -> None:
    rng = np.random.default_rng(0)
    for part, each in (("train", 3), ("val", 2)):
        for wnid in torchvision.datasets.Imagenette._WNID_TO_CLASS:
            folder = root / "imagenette2-160" / part / wnid
            folder.mkdir(parents=True)
            for number in range(each):
                shape = (160, 200, 3) if number else (213, 160)  # wide in colour, tall in grey
                image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
                image.save(folder / f"{number}.JPEG")


def test_imagenette_cuts_the_middle_square(tmp_path: Path) -> None:
    write_imagenette(tmp_path)
    data = load("imagenette", tmp_path, CPU)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 20)
    assert data.test.x().shape == (20, 3, 160, 160)
    assert data.test.y.bincount().tolist() == [2] * 10


def test_imagenette_downloads_an_archive(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_imagenette(tmp_path / "made")
    archive = tmp_path / "imagenette2-160.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "imagenette2-160", "imagenette2-160")
    archives = {
        "160px": (f"{served}/{archive.name}", hashlib.md5(archive.read_bytes()).hexdigest())
    }
    monkeypatch.setattr(torchvision.datasets.Imagenette, "_ARCHIVES", archives)
    data = load("imagenette", tmp_path / "data", CPU, download=True)
    assert len(data.test) == 20
    assert load("imagenette", tmp_path / "data", CPU, download=True).digest == data.digest
