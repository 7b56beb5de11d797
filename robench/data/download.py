"""Fetch a data set's official archives and unpack them; torchvision knows where they lie.

Every file is checked against the MD5 that torchvision keeps of it, then looked through, and only
then unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.archives import check_packed

_MB = 1_000_000


@dataclass(frozen=True)
class Official:
    """One file of a data set."""

    folder: Path
    """Where it is kept and unpacked."""
    name: str
    md5: str
    urls: tuple[str, ...]
    """Mirrors, in order."""
    most: int | None
    """Bytes that it unpacks to at most; none: it is no archive."""


def download(name: str, root: Path) -> None:
    """Bring the files of a data set to ``root``; those that are there and whole are not fetched."""
    from torchvision.datasets.utils import extract_archive

    for official in _officials(name, root):
        _fetch(official)
        if official.most is not None:
            path = official.folder / official.name
            check_packed(path, official.most)
            extract_archive(str(path), str(official.folder))


def _fetch(official: Official) -> None:
    from torchvision.datasets.utils import download_url

    refused = []
    for url in official.urls:
        try:
            download_url(url, str(official.folder), official.name, official.md5)
        except (RuntimeError, OSError) as error:  # a wrong MD5; a mirror that does not answer
            refused.append(f"{url}: {error}")
        else:
            return
    raise RuntimeError("; ".join(refused))


def _officials(name: str, root: Path) -> Iterator[Official]:
    """Sizes are those of the files, rounded up, with room for their headers."""
    from torchvision import datasets

    if name in _LIKE_MNIST:
        kind: Any = getattr(datasets, _LIKE_MNIST[name])
        for file, md5 in kind.resources:
            mirrors = tuple(f"{mirror}{file}" for mirror in kind.mirrors)
            yield Official(root / kind.__name__ / "raw", file, md5, mirrors, 50 * _MB)
    elif name in _LIKE_CIFAR:
        kind = getattr(datasets, _LIKE_CIFAR[name])
        yield Official(root, kind.filename, kind.tgz_md5, (kind.url,), 200 * _MB)
    elif name == "svhn":
        for url, file, md5 in (datasets.SVHN.split_list[part] for part in ("train", "test")):
            yield Official(root, file, md5, (url,), None)
    elif name == "imagenet":
        raise RuntimeError("image-net.org gives its archives to those who sign in")
    elif name == "imagenette":
        url, md5 = datasets.Imagenette._ARCHIVES["160px"]
        yield Official(root, url.rpartition("/")[2], md5, (url,), 500 * _MB)


_LIKE_MNIST = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
_LIKE_CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
