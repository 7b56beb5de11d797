"""IKL: the KL's two forces, decoupled and weighed by class (Cui et al. 2023, arXiv:2305.13948)."""

from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.losses import kl
from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run, State


@dataclass(frozen=True, kw_only=True)
class Ikl(Adversarial):
    """TRADES whose KL is taken apart: a weighted squared error of logits, and a cross-entropy.

    The gradient of KL(natural || attacked) is that of a squared error, which moves the natural
    logits, and of a cross-entropy with natural probabilities, which moves the attacked ones. Here
    the squared error moves both, and its weights are not the image's own probabilities but the
    mean ones of its class in the epoch before, at a temperature.

    Reduces to: natural training at alpha = beta = 0; TRADES with weight 1 at alpha = beta = 1, with
    the image's own probabilities as weights and the attacked logits kept out of the squared error.

    Differs from the authors' code: the radius grows each step (theirs: each epoch). Their perturbed
    weights (AWP), the mean of the weights of all epochs, and further augmentation are left out. A
    wrapper that asks for the loss twice a batch has two epochs of class means in one.
    """

    attack: PGD = field(default_factory=lambda: PGD(steps=5, start="gaussian"))
    """The authors' 5 steps of half the radius; they raise the cross-entropy, as the KL would."""
    alpha: Annotated[float, Meta(ge=0)] = 4.0
    """Weight of the cross-entropy; the authors'."""
    beta: Annotated[float, Meta(ge=0)] = 20.0
    """Weight of the squared error; the authors'."""
    temperature: Annotated[float, Meta(gt=0)] = 4.0
    """Of the class means; the authors'."""
    ramp: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Share of training in which the radius grows from 0 to eps, linearly; the authors': all."""

    def init(self, model: nn.Module, run: Run) -> State:
        """Class means in use, sums of this epoch's, both (classes, classes), and images seen."""
        shape = run.num_classes, run.num_classes
        means = torch.full(shape, 1 / run.num_classes)
        return {"means": means, "sums": torch.zeros(shape), "seen": torch.tensor(0)}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        share = min(run.progress / self.ramp, 1) if self.ramp else 1
        with torch.no_grad():
            clean = model(batch.x)
        threat = replace(run.threat, eps=run.threat.eps * share)
        return self.attack(model, batch.x, clean, threat, loss=kl)  # slopes of the cross-entropy

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        clean, attacked = model(batch.x), model(x_adv)
        weights = run.state["means"][batch.y]
        self._remember(clean.detach(), batch.y, run)
        error = squared_error(clean - attacked, weights).mean()
        robust = F.cross_entropy(attacked, clean.detach().softmax(1))
        run.note("squared error", error)
        return F.cross_entropy(clean, batch.y) + self.beta * error + self.alpha * robust

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(2, 1)  # the attack's target; the natural images

    def _remember(self, logits: Tensor, y: Tensor, run: Run) -> None:
        """Add to the sums of the epoch; at its end they are next epoch's means."""
        means, sums, seen = (run.state[name] for name in ("means", "sums", "seen"))
        of_class = F.one_hot(y, len(sums)).to(logits.dtype)  # index_add sums in any order on a GPU
        sums = sums + of_class.T @ (logits / self.temperature).softmax(1)
        seen, total = seen + len(y), sums.sum(1, keepdim=True)
        over = seen >= run.num_train  # a tensor: asking it would wait for the GPU
        fresh = torch.where(total > 0, sums / total, means)  # a class may have no image
        run.state["means"] = torch.where(over, fresh, means)
        run.state["sums"] = torch.where(over, 0, sums)
        run.state["seen"] = torch.where(over, 0, seen)


def squared_error(gap: Tensor, weights: Tensor) -> Tensor:
    """A quarter of sum over j, k of w_j w_k (gap_j - gap_k)^2 for each image; weights sum to 1.

    Which is half the variance of the gap under the weights.
    """
    mean = (weights * gap).sum(1, keepdim=True)
    return (weights * (gap - mean).square()).sum(1) / 2


presets = {
    "*": Ikl(),  # the authors' CIFAR-10 script, whose steps follow the radius
}
