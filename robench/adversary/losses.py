"""What attacks raise: logits and a target to one value for each image."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes) and targets to values (B,)."""


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each image with its label."""
    return F.cross_entropy(logits, y, reduction="none")


def kl(logits: Tensor, target_logits: Tensor) -> Tensor:
    """KL(target || prediction) of each image, from two sets of logits.

    Both sides stay logarithms, so a probability that underflows gives no NaN.
    """
    prediction, target = logits.log_softmax(1), target_logits.log_softmax(1)
    return F.kl_div(prediction, target, reduction="none", log_target=True).sum(1)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The best other logit minus the true one: positive when the image is classified wrongly.

    Unlike the cross-entropy it does not saturate, whatever the scale of the logits
    (Carlini & Wagner 2017, arXiv:1608.04644).
    """
    true = logits.gather(1, y[:, None]).squeeze(1)
    return logits.scatter(1, y[:, None], -torch.inf).amax(1) - true
