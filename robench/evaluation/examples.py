"""The first images of an evaluation, and what broke those that fell: what they are on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from robench.settings import Plain

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

ABOUT = "robench"
"""Where the file's header keeps what is no array."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """N images as they are, and K of them as they were when they fell."""

    clean: Pixels
    """(N, C, H, W) in [0, 1]: the first of the evaluation, in its order."""
    y: Labels
    """True labels, (N,)."""
    natural: Labels
    """What the network takes the images for, (N,)."""
    position: Labels
    """Which of them fell, (K,), ascending; those that were wrong unattacked are not among them."""
    adversarial: Pixels
    """What broke them, (K, C, H, W) in [0, 1] and inside the threat model."""
    labels: Labels
    """What the network takes that for, (K,)."""
    attack: Labels
    """Numbers of the attacks that did it, (K,)."""
    attacks: tuple[str, ...]
    """Names of the suite's attacks, in order."""
    first: int
    """How many were asked for; there may be fewer."""


ARRAYS = ("clean", "y", "natural", "position", "adversarial", "labels", "attack")
"""The parts that are tensors on disk."""


SUFFIX = ".images.safetensors"
"""What the file's name ends in, where the record's ends in ``.json``."""


def beside(record: Path) -> Path:
    """The file that belongs to an evaluation's record."""
    return record.with_suffix(SUFFIX)


def pack(examples: Examples, about: Plain) -> bytes:
    """A safetensors file; in its header the names of attacks, and what else there is to say."""
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.ascontiguousarray(getattr(examples, name)) for name in ARRAYS
    }
    said = {**about, "attacks": examples.attacks, "first": examples.first}
    return safetensors.numpy.save(arrays, {ABOUT: json.dumps(said, sort_keys=True)})
