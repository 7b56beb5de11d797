"""Read each data set's original files into uint8 arrays; torchvision knows the formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.data.download import download as fetch
from robench.data.files import Files, classes, folder
from robench.errors import DataError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Part = tuple[Pixels | Files, Labels]
"""Images (N, C, H, W), or the files that hold them, and labels (N,)."""
Reader = Callable[[Path, bool], Part]
"""The training part of what lies under a root, or the test part."""


def read(name: str, root: Path, download: bool) -> dict[str, Part]:
    """The official parts of a data set: ``train`` and ``test``, or ``all`` where there is one part.

    Raises:
        DataError: its files are not under ``root``, are damaged, or cannot be downloaded.
    """
    if name == "digits":
        return {"all": _digits()}
    parts, place = _TORCHVISION[name]
    where = root.absolute() / place
    try:
        return _official(parts, root)
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        if not download:
            state = "is damaged or incomplete" if where.exists() else "is not there"
            add = "point --data-root at a torchvision root, or add --download"
            raise DataError(f"{name}: {where} {state}; {add}") from error
    try:
        fetch(name, root)
        return _official(parts, root)
    except Exception as error:
        raise DataError(f"{name} could not be downloaded to {where}: {error}") from error


def _official(parts: Reader, root: Path) -> dict[str, Part]:
    """Both parts from files that are there; torchvision is never asked to download them.

    CIFAR's files are pickles, which run code when they are loaded. torchvision loads none whose MD5
    is not that of the official file, and looks each time, whether or not it was downloaded now.
    """
    return {part: parts(root, part == "train") for part in ("train", "test")}


def _digits() -> Part:
    from sklearn.datasets import load_digits

    digits = load_digits()  # integers from 0 to 16
    return digits.images.astype(np.uint8)[:, None], digits.target.astype(np.int64)


def _mnist_like(name: str) -> Reader:
    def part(root: Path, train: bool) -> Part:
        import torchvision

        data: Any = getattr(torchvision.datasets, name)(root, train=train)
        return data.data.numpy()[:, None], data.targets.numpy().astype(np.int64)

    return part


def _cifar_like(name: str) -> Reader:
    def part(root: Path, train: bool) -> Part:
        import torchvision

        data: Any = getattr(torchvision.datasets, name)(root, train=train)
        return data.data.transpose(0, 3, 1, 2), np.asarray(data.targets, dtype=np.int64)

    return part


def _svhn(root: Path, train: bool) -> Part:
    import torchvision

    part = "train" if train else "test"
    data: Any = torchvision.datasets.SVHN(root, split=part)
    return data.data, data.labels.astype(np.int64)


def _imagenette(root: Path, train: bool) -> Part:
    """The 160-pixel version, the middle square of each photograph."""
    import torchvision
    from torchvision.transforms import v2

    part = "train" if train else "val"
    square = v2.Compose([v2.Resize(160), v2.CenterCrop(160)])
    data: Any = torchvision.datasets.Imagenette(root, split=part, size="160px", transform=square)
    images = np.stack([np.asarray(image.convert("RGB")) for image, _ in data])
    labels = np.asarray([label for _, label in data._samples], dtype=np.int64)
    return images.transpose(0, 3, 1, 2), labels


def _imagenet(root: Path, train: bool) -> Part:
    """As its archives unpack: a folder for each part, and in it one for each class."""
    parts = {part: root / "imagenet" / part for part in ("train", "val")}
    if classes(parts["train"]) != classes(parts["val"]):
        raise DataError("train and val have other classes")
    return folder(parts["train" if train else "val"], 224)


_TORCHVISION: dict[str, tuple[Reader, str]] = {
    "mnist": (_mnist_like("MNIST"), "MNIST/raw"),
    "fashion-mnist": (_mnist_like("FashionMNIST"), "FashionMNIST/raw"),
    "kmnist": (_mnist_like("KMNIST"), "KMNIST/raw"),
    "svhn": (_svhn, "train_32x32.mat"),
    "cifar10": (_cifar_like("CIFAR10"), "cifar-10-batches-py"),
    "cifar100": (_cifar_like("CIFAR100"), "cifar-100-python"),
    "imagenette": (_imagenette, "imagenette2-160"),
    "imagenet": (_imagenet, "imagenet"),
}
