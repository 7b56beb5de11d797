"""The outcome of every image, packed: the evidence behind each number of a table."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.archives import Declared, numbers
from robench.errors import StoreError

Mask = npt.NDArray[np.bool_]

MOST_IMAGES = 1_000_000
"""Of one evaluation: no data set that robench knows has a tenth as many."""

_MOST_BYTES = 64 * 8 * MOST_IMAGES
"""Of one file: every image measured in 64 ways."""


@dataclass(frozen=True)
class Outcomes:
    """Which images stand after each attack and all before it."""

    stands: Mapping[str, Mask]
    """``natural`` first, then the suite's attacks in order; each (N,)."""
    y: npt.NDArray[np.int64]
    """Labels, (N,)."""
    origin: npt.NDArray[np.int64]
    """Positions in the official test files, (N,)."""
    carried: Mask
    """Images whose outcome comes from another radius, (N,)."""
    measured: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """What measures saw: ``image.MEASURE.NAME``, (N,); ``curve.MEASURE.NAME.x``, ``.y``, (P,)."""

    @property
    def worst(self) -> Mask:
        """Images that stand against every attack."""
        return list(self.stands.values())[-1]


def pack(outcomes: Outcomes) -> bytes:
    """A compressed .npz file, one bit an image and attack."""
    buffer = io.BytesIO()
    packed = {f"stands.{name}": np.packbits(mask) for name, mask in outcomes.stands.items()}
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        y=outcomes.y.astype(np.int32),
        origin=outcomes.origin.astype(np.int32),
        carried=np.packbits(outcomes.carried),
        **packed,
        **{f"measured.{name}": values for name, values in outcomes.measured.items()},
    )
    return buffer.getvalue()


def unpack(path: Path) -> Outcomes:
    """Read what ``pack`` wrote.

    Raises:
        StoreError: the file is damaged or holds something else.
    """
    try:
        found = numbers(path, _MOST_BYTES, _check)
        y, origin = (_row(found[name], np.int64) for name in ("y", "origin"))
        stands = {
            name.removeprefix("stands."): _unpacked(bits, len(y))
            for name, bits in found.items()
            if name.startswith("stands.")
        }
        carried = _unpacked(found["carried"], len(y))
        measured = {
            name.removeprefix("measured."): _row(values, np.float64)
            for name, values in found.items()
            if name.startswith("measured.")
        }
    except Exception as error:  # zip, numpy and zlib each have their own
        raise StoreError(f"{path} cannot be read: {error}") from error
    seen = (values for name, values in measured.items() if name.startswith("image."))
    if "natural" not in stands or any(len(values) != len(y) for values in (origin, *seen)):
        raise StoreError(f"{path} holds no outcomes")
    return Outcomes(stands, y, origin, carried, measured)


def _check(array: Declared) -> None:
    """Raise unless it is a list of numbers, of a sane length."""
    if array.dtype.kind not in "biuf" or len(array.shape) != 1 or array.shape[0] > MOST_IMAGES:
        raise ValueError(f"{array.name} is no list of numbers, or too long")


def _row(values: npt.NDArray[Any], kind: type) -> npt.NDArray[Any]:
    """Without rounding; no part of a complex number."""
    return values.astype(kind, casting="same_kind")


def _unpacked(bits: npt.NDArray[Any], count: int) -> Mask:
    if bits.shape != (-(-count // 8),):
        raise ValueError(f"bits of shape {bits.shape} for {count} images")
    return np.unpackbits(bits, count=count).astype(bool)
