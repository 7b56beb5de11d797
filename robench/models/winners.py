"""k-winners-take-all: of a layer's activations only the largest are passed on."""

import torch
from torch import Tensor, nn


class Winners(nn.Module):
    """A rectifier that passes on the ``share`` of largest activations of each image's layer.

    It is not continuous: which activations win changes from point to point, and gradients say
    nothing of that.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; at least one activation wins."""
        flat = x.detach().flatten(1)
        count = max(1, int(self.share * flat.shape[1]))
        least = flat.topk(count, sorted=False).values.amin(1)
        return torch.where(flat >= least[:, None], 1, 0).view_as(x) * x.relu()
