"""The 15 common corruptions by name (Hendrycks & Dietterich 2019, arXiv:1903.12261)."""

from collections.abc import Mapping
from typing import Literal

Family = Literal["noise", "blur", "weather", "digital"]

KINDS: Mapping[str, Family] = {
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "impulse_noise": "noise",
    "defocus_blur": "blur",
    "glass_blur": "blur",
    "motion_blur": "blur",
    "zoom_blur": "blur",
    "snow": "weather",
    "frost": "weather",
    "fog": "weather",
    "brightness": "weather",
    "contrast": "digital",
    "elastic_transform": "digital",
    "pixelate": "digital",
    "jpeg_compression": "digital",
}
"""Each with its family, in the paper's order; CIFAR-10-C's files are called so."""

SEVERITIES = (1, 2, 3, 4, 5)
"""From weak to strong."""


def shown(kind: str) -> str:
    """A kind as tables name it, its family first: ``blur, motion``."""
    return f"{KINDS[kind]}, {kind.partition('_')[0]}"
