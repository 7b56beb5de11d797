"""Accuracy under random perturbations: its mean, its quantiles and its tail.

After the evaluators of Robey et al. 2021 and 2022 (arXiv:2110.15767, arXiv:2202.01136).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.adversary.measure import Reading, Value
from robench.data.load import Data
from robench.intervals import wilson
from robench.threat import Threat

Share = Annotated[float, Meta(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """Each test image under many perturbations drawn uniformly from the ball; no attack."""

    draws: Annotated[int, Meta(ge=1)] = 100
    """Perturbations of each image."""
    shares: tuple[Share, ...] = (0.1, 0.05, 0.01)
    """Shares of its perturbations that an image may fail, and that make up a loss's tail."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Mean accuracy, quantile accuracies, mean losses of the worst perturbations."""
        n = len(data.test)
        drawn = [self._drawn(model, data, part, threat) for part in torch.arange(n).split(500)]
        right = torch.cat([right for right, _ in drawn], 1)
        share = right.double().mean(0)
        loss = torch.cat([losses for _, losses in drawn], 1)
        values = [Value("mean accuracy", share.mean().item(), n)]
        for q in self.shares:
            count = int((share > 1 - q + 1e-9).sum())  # 1 - 0.07 is a little less than 93 / 100
            values.append(Value(f"quantile accuracy, {q:g}", count / n, n, *wilson(count, n)))
        values += [Value(f"CVaR loss, {q:g}", tail(loss, q).mean().item(), n) for q in self.shares]
        return Reading(tuple(values), images={"right": share})

    def _drawn(
        self, model: nn.Module, data: Data, part: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        """Which draws are right, and their losses, both (draws, images)."""
        x, y = data.test.x(part), data.test.y[part]
        with torch.no_grad():
            logits = [model(threat.random_start(x)) for _ in range(self.draws)]
        right = torch.stack([one.argmax(1) == y for one in logits])
        return right, torch.stack([cross_entropy(one, y) for one in logits])


def tail(losses: Tensor, share: float) -> Tensor:
    """Mean of the worst ``share`` of each column, the last one of it counted in part.

    The conditional value at risk of draws (Rockafellar & Uryasev 2000), for losses (draws, N).
    """
    ordered, wanted = losses.double().sort(0, descending=True).values, share * len(losses)
    place = torch.arange(len(losses), device=losses.device, dtype=torch.float64)
    weight = (wanted - place).clamp(0, 1)
    return (ordered * weight[:, None]).sum(0) / wanted
