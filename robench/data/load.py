"""A data set in the three parts every cell uses: uint8 tensors on the device, or files."""

import hashlib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robench.data.catalogue import Facts, facts
from robench.data.extra import read_extra
from robench.data.files import Files
from robench.data.sources import Part, read
from robench.errors import DataError


@dataclass(frozen=True)
class Images:
    """One part of a data set."""

    pixels: Tensor | Files
    """(N, C, H, W), uint8, on the device; or the files that are read for them."""
    y: Tensor
    """(N,), int64, on the device."""
    scale: float
    """What a white pixel is stored as."""
    origin: Tensor
    """(N,), positions in the official files, so that outcomes can be matched image by image."""

    def __len__(self) -> int:
        return len(self.y)

    def x(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Images as float32 in [0, 1], on the device."""
        return self.stored(index).float() / self.scale

    def stored(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The same as they are stored, uint8, on the device."""
        chosen = self.pixels[index]
        return chosen.read().to(self.y.device) if isinstance(chosen, Files) else chosen

    def at(self, index: Tensor | slice) -> "Images":
        """Some of them, in an order."""
        return Images(self.pixels[index], self.y[index], self.scale, self.origin[index])

    def first(self, limit: int | None) -> "Images":
        """The first ``limit`` images, or all."""
        return self.at(slice(limit))


@dataclass(frozen=True)
class Data:
    """A data set, split: fit on ``train``, choose on ``validation``, report on ``test``."""

    name: str
    facts: Facts
    train: Images
    validation: Images
    test: Images
    digest: str
    """SHA-256 of all images and labels before any limit; of files it takes names and sizes."""
    train_limit: int | None = None
    test_limit: int | None = None
    """Limits that left something out; none when all images are there."""
    extra: Images | None = None
    """Images from elsewhere to train on besides ``train``."""
    extra_digest: str = ""
    """SHA-256 of all of those, and of their labels, before any limit."""
    root: Path | None = None
    """Where files lie; a measure may look for its own there."""


def load(
    name: str,
    root: Path,
    device: torch.device,
    *,
    train_limit: int | None = None,
    test_limit: int | None = None,
    download: bool = False,
) -> Data:
    """Read a data set and split it; the split depends on nothing but its size.

    Validation images come out of the training part: a tenth of it, at most 5,000. A limit keeps the
    first images of a fixed random order, so a smaller limit's images are among a larger one's.

    Raises:
        DataError: no such files, or not what the data set should hold.
    """
    known = facts(name)
    parts = read(name, root, download)
    for part in parts.values():
        _check(name, part, known)
    scale = 16.0 if name == "digits" else 255.0
    whole = {key: _images(part, scale, device) for key, part in parts.items()}
    if "all" in whole:  # no official split: 60/20/20
        n = len(whole["all"])
        train, validation, test = _split(whole["all"], n * 3 // 5, n // 5)
    else:
        held_out = min(5000, len(whole["train"]) // 10)
        train, validation, _ = _split(whole["train"], len(whole["train"]) - held_out, held_out)
        test = _split(whole["test"], len(whole["test"]), 0)[0]
    return Data(
        name,
        known,
        train.first(train_limit),
        validation,
        test.first(test_limit),
        _digest(parts),
        _binding(train_limit, train),
        _binding(test_limit, test),
        root=root,
    )


def with_extra(data: Data, file: str, root: Path) -> Data:
    """A data set with extra images of a file below ``root``, in a random order that never changes.

    Raises:
        DataError: no such file, or its images are not of the data set's shape and classes.
    """
    part = read_extra(root / file)
    _check(f"{data.name}, extra images of {file}", part, data.facts)
    images = _images(part, 255.0, data.train.y.device)
    mixed = _split(images, len(images))[0]
    return replace(data, extra=mixed, extra_digest=_digest({"extra": part}))


def _binding(limit: int | None, images: Images) -> int | None:
    return limit if limit is not None and limit < len(images) else None


def _split(images: Images, *sizes: int) -> list[Images]:
    """Parts of the given sizes and the rest, in a random order that never changes."""
    # numpy promises that RandomState's stream stays the same for ever; its newer generators do not.
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(images)))
    ends = np.cumsum([0, *sizes, len(images) - sum(sizes)])
    cuts = [order[a:b].to(images.y.device) for a, b in itertools.pairwise(ends)]
    return [images.at(cut) for cut in cuts]


def _images(part: Part, scale: float, device: torch.device) -> Images:
    pixels, y = part
    held: Tensor | Files = (
        pixels
        if isinstance(pixels, Files)
        else torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    )
    return Images(
        held,
        torch.from_numpy(y).to(device),
        scale,
        torch.arange(len(y), device=device),
    )


def _check(name: str, part: Part, known: Facts) -> None:
    pixels, y = part
    kind = np.dtype(np.uint8) if isinstance(pixels, Files) else pixels.dtype
    if kind != np.uint8 or pixels.shape[1:] != known.shape or len(pixels) != len(y):
        raise DataError(
            f"{name}: images are {kind} {pixels.shape[1:]} and not uint8 {known.shape}, "
            f"or not as many ({len(pixels)}) as labels ({len(y)})"
        )
    if len(y) == 0 or y.min() < 0 or y.max() >= known.num_classes:
        raise DataError(f"{name}: no labels, or some are not in 0-{known.num_classes - 1}")


def _digest(parts: dict[str, Part]) -> str:
    whole = hashlib.sha256()
    for key, (pixels, y) in sorted(parts.items()):
        whole.update(f"{key} {pixels.shape}".encode())
        content = pixels.digest.encode() if isinstance(pixels, Files) else pixels
        whole.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
        whole.update(np.ascontiguousarray(y).data)
    return whole.hexdigest()
