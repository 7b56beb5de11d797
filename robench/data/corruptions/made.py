"""Images corrupted here; no photographs and no published files are needed."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from robench.data.corruptions import blur, digital, noise, weather
from robench.data.corruptions.catalogue import SEVERITIES
from robench.data.corruptions.draws import PART, Draws
from robench.errors import DataError
from robench.seeds import derive

Corruption = Callable[[Tensor, Draws, int], Tensor]
"""Images (N, C, H, W) in [0, 1] on the CPU, random numbers and a severity to images like them."""

CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": noise.gaussian,
    "shot_noise": noise.shot,
    "impulse_noise": noise.impulse,
    "defocus_blur": blur.defocus,
    "glass_blur": blur.glass,
    "motion_blur": blur.motion,
    "zoom_blur": blur.zoom,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg,
}


def corrupt(x: Tensor, kind: str, severity: int, seed: int) -> Tensor:
    """Images (N, C, H, W) in [0, 1] under one corruption, uint8 as a file would hold them.

    The numbers of ``KINDS`` are those of CIFAR-10-C; images need one channel or three, and at least
    eight pixels a side. What is drawn depends on the seed, the kind, the severity and an image's
    position, and on nothing that comes after it.

    Raises:
        DataError: there is no such kind or severity, or the images are too small.
    """
    if kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise DataError(f"there is no corruption {kind!r} of severity {severity}")
    if x.shape[1] not in (1, 3) or min(x.shape[-2:]) < 8:
        raise DataError(f"images of {tuple(x.shape[1:])} cannot be corrupted: 1 or 3 x 8 x 8 can")
    make, found = CORRUPTIONS[kind], []
    for number, part in enumerate(x.cpu().split(PART)):
        draws = Draws(derive(seed, kind, severity, number), len(part))
        with torch.no_grad():
            found.append((255 * make(part, draws, severity).clamp(0, 1)).round().byte())
    return torch.cat(found)
