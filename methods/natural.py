"""Natural: cross-entropy on unperturbed images, the undefended baseline (no paper)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Natural(Method):
    """No inner maximisation.

    Reduces to: nothing simpler; every method here reduces to it at eps = 0, or by a setting.
    """

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(batch.x), batch.y)


presets = {"*": Natural()}
