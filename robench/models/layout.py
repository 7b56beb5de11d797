"""In which order the numbers of feature maps lie in memory: values stay, their order changes."""

import torch
from torch import nn


def laid_out(model: nn.Module) -> nn.Module:
    """The same module, its maps with the channels last where convolutions are faster so.

    They are where filters come in eights, as vector units take them; images of 1 to 4 channels may
    come in or out. In float32 sums are then taken in another order, so losses differ by rounding.
    """
    filters = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    if filters and all(count % 8 == 0 or count <= 4 for count in filters):
        model.to(memory_format=torch.channels_last)
    return model
