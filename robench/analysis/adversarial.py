"""The images that fell to attacks, read back: nothing in such a file is believed unseen."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from robench.errors import StoreError
from robench.evaluation.examples import ABOUT, ARRAYS, Examples, beside
from robench.evaluation.stored import has_examples
from robench.radius import BALLS
from robench.settings import Plain

_PIXELS = ("clean", "adversarial")


def read(path: Path, record: Plain) -> Examples:
    """The images of an evaluation, by its record.

    Raises:
        StoreError: there are none, or the file is damaged or holds something else.
    """
    file = beside(path)
    if record["status"] != "ok" or not record.get("images"):
        raise StoreError(f"{path} has no images; robench run --save-adversarial keeps some")
    if not has_examples(path, record):
        raise StoreError(f"{file} is missing or damaged; not used")
    try:
        found = _loaded(file)
        problem = next(_problems(found, record), "")
    except Exception as error:  # safetensors, json and numpy each have their own
        raise StoreError(f"{file} cannot be read: {error}") from error
    if problem:
        raise StoreError(f"{file} is not as it should be: {problem}; not used")
    return found


def distances(found: Examples, norm: str) -> npt.NDArray[np.float64]:
    """How far each image that fell, (K,), was moved; NaN where two images do not tell."""
    moved = found.adversarial.astype(float) - found.clean[found.position]
    size = np.abs(moved).reshape(len(moved), moved[:1].size or 1)
    if norm not in BALLS:
        return np.full(len(moved), np.nan)
    if norm == "Linf":
        return np.asarray(size.max(1, initial=0))
    return np.asarray(size.sum(1) if norm == "L1" else np.sqrt((size**2).sum(1)))


def _loaded(file: Path) -> Examples:
    with safe_open(file, framework="numpy") as content:
        about = json.loads((content.metadata() or {})[ABOUT])
        arrays = {name: content.get_tensor(name) for name in ARRAYS}
    return Examples(**arrays, attacks=tuple(about["attacks"]), first=about["first"])


def _problems(found: Examples, record: Plain) -> Iterator[str]:
    """What is wrong, one after the other; what comes later relies on what comes first."""
    said, attacks = record["images"], record["order"][1:]
    n = min(said["first"], record["n"])
    yield from _misshapen(found, n, said["fell"])
    if found.first != said["first"] or [*found.attacks] != attacks:
        yield "its header is not what its record says"
    at, by = found.position, found.attack
    if (np.diff(at) <= 0).any() or ((at < 0) | (at >= n)).any():
        yield "positions do not ascend, or are of no image"
    if ((by < 0) | (by >= len(attacks))).any():
        yield "an attack that its suite does not have"
    if any((labels < 0).any() for labels in (found.y, found.natural, found.labels)):
        yield "a label below 0"
    if (found.natural[at] != found.y[at]).any() or (found.labels == found.y[at]).any():
        yield "an image that fell was wrong before, or is right still"
    norm, eps = record["identity"]["norm"], float(Fraction(record["identity"]["eps"]))
    rounding = 1e-5 + found.clean[:1].size * np.finfo(np.float32).eps / 2
    if (distances(found, norm) > eps + rounding).any():
        yield "an image outside of the threat model"


def _misshapen(found: Examples, n: int, fell: int) -> Iterator[str]:
    """Arrays of another kind, or with what is no pixel."""
    for name in ARRAYS:
        values: npt.NDArray[Any] = getattr(found, name)
        pixels, count = name in _PIXELS, n if name in ("clean", "y", "natural") else fell
        shape = (count, *found.clean.shape[1:]) if pixels else (count,)
        kind = np.dtype(np.float32 if pixels else np.int64)
        if (values.dtype, values.shape, found.clean.ndim) != (kind, shape, 4):
            yield f"{name} is {values.dtype} of shape {values.shape}"
        if pixels and not ((values >= 0) & (values <= 1)).all():  # NaN is neither
            yield f"{name} has pixels outside of [0, 1]"
