"""Fixed transformations of images, each with a gradient: how else a camera might have seen them."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

View = Literal["as-is", "left", "right", "up", "down", "mirror", "darker", "brighter"]

VIEWS: Mapping[View, Callable[[Tensor], Tensor]] = {
    "as-is": lambda x: x,
    "left": lambda x: F.pad(x, (-1, 1, 0, 0)),
    "right": lambda x: F.pad(x, (1, -1, 0, 0)),
    "up": lambda x: F.pad(x, (0, 0, -1, 1)),
    "down": lambda x: F.pad(x, (0, 0, 1, -1)),
    "mirror": lambda x: x.flip(3),
    "darker": lambda x: 0.8 * x,
    "brighter": lambda x: (1.2 * x).clamp(max=1),
}
"""By name. Shifts are by one pixel, and black comes in; brightness changes by a fifth."""
