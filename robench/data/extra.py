"""Extra training images: a file of arrays that somebody else wrote."""

from pathlib import Path

import numpy as np

from robench.archives import declared
from robench.data.sources import Part
from robench.errors import DataError

_MOST_BYTES = 1 << 37
"""Of one file: over 40 million images of 32x32 in colour."""


def read_extra(path: Path) -> Part:
    """``image``, (N, H, W, C) or (N, H, W), uint8, and ``label``, (N,), of an .npz file.

    So the images of diffusion models are published that robust training is fed with (Rebuffi et al.
    2021, arXiv:2103.01946; Wang et al. 2023, arXiv:2302.04638).

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise DataError(
            f"extra images: there is no file {path}; name one below --data-root, or all of its path"
        )
    try:
        _look_through(path)
        with np.load(path, allow_pickle=False) as file:
            pixels, labels = file["image"], file["label"]
    except Exception as error:  # zip, numpy and zlib each have their own
        raise DataError(f"extra images: {path} cannot be read: {error}") from error
    channels_last = pixels[..., None] if pixels.ndim == 3 else pixels
    return channels_last.transpose(0, 3, 1, 2), labels.astype(np.int64)


def _look_through(path: Path) -> None:
    """Raise unless both arrays are there, of numbers, and as long as their headers say."""
    found = {array.name.removesuffix(".npy"): array for array in declared(path, _MOST_BYTES)}
    for name, kinds, axes, what in (
        ("image", "u", (3, 4), "uint8 images, (N, H, W, C) or (N, H, W)"),
        ("label", "iu", (1,), "whole numbers, (N,)"),
    ):
        if name not in found:
            raise ValueError(f"it has no array {name!r}; it has: {', '.join(found) or 'none'}")
        array = found[name]
        if array.dtype.kind not in kinds or len(array.shape) not in axes:
            raise ValueError(f"{name!r} is {array.dtype} {array.shape} and not {what}")
        array.check_size()
