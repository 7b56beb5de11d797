"""LSQ: logit squeezing, a negative control (Kannan et al. 2018, arXiv:1803.06373)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Lsq(Method):
    """Cross-entropy, and the mean L2 norm of the logits; no inner maximisation.

    Small logits give attacks on the cross-entropy small gradients, and the decision stays where it
    was.

    Reduces to: natural training at weight = 0, on noisy images if sigma > 0.

    Differs from the code of uds-lsv/evaluating-logit-pairing-methods, which measured what is left
    of it: nothing known but the shared recipe.
    """

    control: ClassVar[str] = "PGD with many steps, or on the margin; AutoAttack"

    weight: Annotated[float, Meta(ge=0)] = 0.5
    """Of the norm; uds-lsv's."""
    sigma: Annotated[float, Meta(ge=0)] = 0.0
    """Standard deviation of noise in [0, 1] pixel units, then cut to [0, 1]; uds-lsv's is off."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        logits = model((batch.x + self.sigma * torch.randn_like(batch.x)).clamp(0, 1))
        norm = logits.norm(dim=1).mean()
        run.note("norm", norm)
        return F.cross_entropy(logits, batch.y) + self.weight * norm


presets = {"*": Lsq()}  # uds-lsv's weight, on every data set
