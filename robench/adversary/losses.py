"""What attacks raise: logits and a target to one value for each image.

All are positive, or rise, as an image nears a wrong answer. Few classes are no special case for the
caller: a loss that needs more logits than there are falls back to the margin it scales.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes) and targets to values (B,)."""

_TINY = 1e-12


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each image with its label."""
    return F.cross_entropy(logits, y, reduction="none")


def kl(logits: Tensor, target_logits: Tensor) -> Tensor:
    """KL(target || prediction) of each image, from two sets of logits.

    Both sides stay logarithms, so a probability that underflows gives no NaN.
    """
    prediction, target = logits.log_softmax(1), target_logits.log_softmax(1)
    return F.kl_div(prediction, target, reduction="none", log_target=True).sum(1)


def log_wrong(logits: Tensor, y: Tensor) -> Tensor:
    """Logarithm of the probability that is left for wrong answers, log(1 - p_y), of each image.

    With m, how far the wrong logits' logsumexp is over the true one, it is log(sigmoid(m)), and the
    cross-entropy is -log(sigmoid(-m)): both rise in m alone, so their gradients point the same way.
    Written so, p_y = 1 gives no NaN.
    """
    logs = logits.log_softmax(1)  # m is the same, and never in half precision
    return F.logsigmoid(logs.scatter(1, y[:, None], -torch.inf).logsumexp(1) - _of(logs, y))


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The best other logit minus the true one: positive when the image is classified wrongly.

    Unlike the cross-entropy it does not saturate, whatever the scale of the logits
    (Carlini & Wagner 2017, arXiv:1608.04644).
    """
    return logits.scatter(1, y[:, None], -torch.inf).amax(1) - _of(logits, y)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Difference of logits ratio: the margin over the largest minus the third largest logit.

    Invariant to shift and scale (Croce & Hein 2020, arXiv:2003.01690, equation 6). With two
    classes there is no third logit, and it is the margin.
    """
    if logits.shape[1] < 3:
        return margin(logits, y)
    top = logits.topk(3, dim=1).values
    return margin(logits, y) / (top[:, 0] - top[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, pair: Tensor) -> Tensor:
    """The DLR loss towards one class; ``pair``, (B, 2), is the true class and that one.

    Croce & Hein 2020, equation 7. With fewer than four classes it is the targeted margin.
    """
    difference = _of(logits, pair[:, 1]) - _of(logits, pair[:, 0])
    if logits.shape[1] < 4:
        return difference
    top = logits.topk(4, dim=1).values
    return difference / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + _TINY)


def scale_invariant(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of logits whose two largest are put ten apart in every image.

    Their softmax neither saturates nor flattens, so no scale of the logits hides the gradient
    (MIFPE: Yu & Xu 2023; ten is the default of the authors' code).
    """
    top = logits.detach().topk(2, dim=1).values
    return cross_entropy(logits * (10 / (top[:, :1] - top[:, 1:] + _TINY)), y)


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


LossName = Literal["cross-entropy", "margin", "dlr", "scale-invariant"]

LOSSES: Mapping[LossName, Loss] = {
    "cross-entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "scale-invariant": scale_invariant,
}
"""Untargeted losses by the name that settings give them."""
