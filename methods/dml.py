"""DML: metric learning, one image of a batch attacked at a time (Panum 2021, arXiv:2102.07265)."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.classifier import Classifier
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run, State


@dataclass(frozen=True, kw_only=True)
class Dml(Adversarial):
    """A contrastive loss on features of unit length, over all pairs of a batch.

    An image's loss depends on the others, so each is attacked with the others held fixed as they
    are, all at once, and trained on beside them. Not beside what the others were perturbed to: a
    loss of pairs is content when classes change places, and so training ended on digits. Pairs, not
    triplets: all pairs of a batch need no choice, which an attack could change.

    What is deployed, and attacked, is a classifier: its logits are minus the squared distances of
    an image's features to the mean of each class's, those of natural training images over about
    the last epoch. Gradients go through all of it. The network's own head is not used.

    Reduces to: plain metric learning at eps 0, or with attack.steps = 0 and attack.start = none.

    Differs from the paper: only its abstract was at hand. The loss (Hadsell et al. 2006), its
    margin, batches without a quota for each class and the deployed classifier are ours; theirs is
    judged by retrieval, as the suite of that name does.
    """

    margin: Annotated[float, Meta(gt=0, le=2)] = 1.0
    """Distance to another class that is far enough; behind a rectifier 1.41 is the most."""

    def init(self, model: nn.Module, run: Run) -> State:
        width = next(Embedding(model).network.head.parameters()).shape[1]
        return {"sums": torch.zeros(run.num_classes, width), "counts": torch.zeros(run.num_classes)}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        embedding = Embedding(model)
        with torch.no_grad():
            others = embedding(batch.x)
        beside = partial(contrastive, others=others, margin=self.margin)
        return self.attack(embedding, batch.x, batch.y, run.threat, beside)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        embedding = Embedding(model)
        attacked, others = embedding(x_adv), embedding(batch.x)
        members = F.one_hot(batch.y, run.num_classes).to(others).T
        kept = 1 - len(batch.y) / run.num_train
        run.state["sums"] = kept * run.state["sums"] + members @ others.detach()
        run.state["counts"] = kept * run.state["counts"] + members.sum(1)
        return contrastive(attacked, batch.y, others, self.margin).mean()

    def passes(self, stage: str) -> Passes:
        return super().passes(stage) + Passes(2, 1)  # the others, in the attack and in the loss

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        means = run.state["sums"] / run.state["counts"][:, None]
        return Nearest(model, means.nan_to_num(nan=1.0))  # far off: a class that had no image


class Embedding(nn.Module):
    """Features of unit length."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, Classifier):
            raise ConfigError("dml needs a network with features")
        self.network = model

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.network.features(x))


class Nearest(Embedding):
    """Minus the squared distance to each class's mean, as logits."""

    means: Tensor

    def __init__(self, model: nn.Module, means: Tensor) -> None:
        super().__init__(model)
        self.register_buffer("means", means)

    def features(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def forward(self, x: Tensor) -> Tensor:
        found = self.features(x)
        squares = found.square().sum(1, keepdim=True) + self.means.square().sum(1)
        return 2 * found @ self.means.T - squares


def contrastive(found: Tensor, y: Tensor, others: Tensor, margin: float) -> Tensor:
    """Of each image, (B,): near to its class, and no nearer than the margin to another.

    Means over its pairs of one class, and over those of two that are too near; none counts as 0.
    """
    squares = (2 - 2 * found @ others.T).clamp_min(1e-12)
    alike, itself = y[:, None] == y, torch.eye(len(y), dtype=torch.bool, device=y.device)
    far = (squares * (alike & ~itself)).sum(1) / (alike.sum(1) - 1).clamp_min(1)
    near = F.relu(margin - squares.sqrt()).square() * ~alike
    return far + near.sum(1) / near.count_nonzero(1).clamp_min(1)


presets = {
    "*": Dml(),  # ours: a step that follows eps
    "mnist": Dml(attack=PGD(steps=40, step_size=0.01)),  # ours: as for adversarial training
    "cifar10": Dml(attack=PGD(steps=10, step_size=2 / 255)),  # the same
}
