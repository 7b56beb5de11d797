"""Read each data set's original files into uint8 arrays; torchvision knows the formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.errors import DataError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Part = tuple[Pixels, Labels]
"""Images (N, C, H, W) and labels (N,)."""


def read(name: str, root: Path, download: bool) -> dict[str, Part]:
    """The official parts of a data set: ``train`` and ``test``, or ``all`` where there is one part.

    Raises:
        DataError: its files are not under ``root``, are damaged, or cannot be downloaded.
    """
    if name == "digits":
        return {"all": _digits()}
    parts, folder = _TORCHVISION[name]
    try:
        return {part: parts(root, part == "train", download) for part in ("train", "test")}
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        where = root.absolute() / folder
        if download:
            raise DataError(f"{name} could not be downloaded to {where}: {error}") from error
        state = "is damaged or incomplete" if where.exists() else "is not there"
        raise DataError(
            f"{name}: {where} {state}; point --data-root at a torchvision root, or add --download"
        ) from error


def _digits() -> Part:
    from sklearn.datasets import load_digits

    digits = load_digits()  # integers from 0 to 16
    return digits.images.astype(np.uint8)[:, None], digits.target.astype(np.int64)


def _mnist_like(name: str) -> Callable[[Path, bool, bool], Part]:
    def part(root: Path, train: bool, download: bool) -> Part:
        import torchvision

        data: Any = getattr(torchvision.datasets, name)(root, train=train, download=download)
        return data.data.numpy()[:, None], data.targets.numpy().astype(np.int64)

    return part


def _cifar_like(name: str) -> Callable[[Path, bool, bool], Part]:
    def part(root: Path, train: bool, download: bool) -> Part:
        import torchvision

        data: Any = getattr(torchvision.datasets, name)(root, train=train, download=download)
        return data.data.transpose(0, 3, 1, 2), np.asarray(data.targets, dtype=np.int64)

    return part


def _svhn(root: Path, train: bool, download: bool) -> Part:
    import torchvision

    part = "train" if train else "test"
    data: Any = torchvision.datasets.SVHN(root, split=part, download=download)
    return data.data, data.labels.astype(np.int64)


def _imagenette(root: Path, train: bool, download: bool) -> Part:
    """The 160-pixel version, the middle square of each photograph."""
    import torchvision
    from torchvision.transforms import v2

    part = "train" if train else "val"
    square = v2.Compose([v2.Resize(160), v2.CenterCrop(160)])
    there = (root / "imagenette2-160").is_dir()  # torchvision refuses to download a second time
    data: Any = torchvision.datasets.Imagenette(
        root, split=part, size="160px", download=download and not there, transform=square
    )
    images = np.stack([np.asarray(image.convert("RGB")) for image, _ in data])
    labels = np.asarray([label for _, label in data._samples], dtype=np.int64)
    return images.transpose(0, 3, 1, 2), labels


_TORCHVISION: dict[str, tuple[Callable[[Path, bool, bool], Part], str]] = {
    "mnist": (_mnist_like("MNIST"), "MNIST/raw"),
    "fashion-mnist": (_mnist_like("FashionMNIST"), "FashionMNIST/raw"),
    "kmnist": (_mnist_like("KMNIST"), "KMNIST/raw"),
    "svhn": (_svhn, "train_32x32.mat"),
    "cifar10": (_cifar_like("CIFAR10"), "cifar-10-batches-py"),
    "cifar100": (_cifar_like("CIFAR100"), "cifar-100-python"),
    "imagenette": (_imagenette, "imagenette2-160"),
}
