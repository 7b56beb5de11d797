"""AToP: a purifier trained before a frozen classifier (Lin et al. 2024, arXiv:2401.16352)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.eot import EOT
from robench.adversary.pgd import PGD, PGDAttack
from robench.data.batches import Batch
from robench.models.critic import contest
from robench.models.passes import Passes
from robench.models.purifier import Purified, PurifierName, purifier
from robench.models.transforms import Transform
from robench.radius import NORMS, Norm
from robench.training.method import Adversarial, Run, Stage


@dataclass(frozen=True, kw_only=True)
class Atop(Adversarial):
    """Images are masked and noised, rebuilt by a purifier, then classified by a frozen network.

    Masks and noise are drawn anew at every call. The purifier first learns to rebuild natural
    images, then also to have attacked ones classified rightly.

    Reduces to: a purifier that never sees a label, at weight = 0.

    Differs from the authors' code: each image has its own mask (theirs: one a batch). All outside
    the purifier is in [0, 1] (theirs is scaled twice on one path, never on another). The purifier
    is smaller, works at the images' own size and starts near the identity, not from a model of
    Places2. The auto-encoder, which they left out, has the same L1 loss. Batch size, schedule and
    Adam's betas are the recipe's. Their adversarial term sees detached images and teaches the
    purifier nothing; live_gan does, and trains purifier and critic at once, not in turn.
    """

    stochastic: ClassVar[bool] = True
    attack: PGD = field(default_factory=lambda: PGD(steps=1, start="none"))
    """FGSM: the step of 2.5 eps is cut to the ball."""
    attack_target: Literal["classifier", "pipeline"] = "classifier"
    """What is attacked: the classifier alone, as the authors do, or all that is deployed."""
    start: Annotated[str, Meta(min_length=1)] = "natural"
    """The method whose trained cell is the frozen classifier."""
    transform: Transform = field(default_factory=Transform)
    purifier: PurifierName = "gan"
    """Gated convolutions that fill in holes, or an auto-encoder of plain ones."""
    width: Annotated[int, Meta(ge=1)] = 16
    """Channels of the purifier's first layer; the authors' has 48."""
    weight: Annotated[float, Meta(ge=0)] = 0.05
    """Of the cross-entropy, beside the L1 distance of images scaled to [-1, 1]; the authors'."""
    recon_input: Literal["clean", "adv"] = "clean"
    """What fine-tuning rebuilds; the authors have both, and a training log of clean."""
    live_gan: Annotated[float, Meta(ge=0)] = 0.0
    """Weight of an adversarial term (hinge, patches, spectral norm) on what is rebuilt."""
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Of the epochs, for pre-training; ours."""
    delay: Annotated[float, Meta(ge=0, lt=1)] = 2 / 300
    """Share of fine-tuning before the cross-entropy counts; the authors' 2 epochs of 300."""
    lr: Annotated[float, Meta(gt=0)] = 1e-4
    """Of Adam, in both stages; the authors'."""

    def starts_from(self) -> str:
        return self.start

    def stages(self) -> tuple[Stage, ...]:
        own = ("purifier", {"optimizer": "adam", "lr": self.lr, "weight_decay": 0.0})
        return Stage("pretrain", self.share, *own), Stage("finetune", 1 - self.share, *own)

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        rebuilds = purifier(self.purifier, run.channels, self.width, critic=self.live_gan > 0)
        return Purified(classifier(), rebuilds, self.transform)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        assert isinstance(model, Purified)
        if run.stage == "pretrain" or not (self._labels(run) or self.recon_input == "adv"):
            return batch.x  # nothing looks at attacked images
        target = model if self.attack_target == "pipeline" else model.classifier
        return self.attack(target, batch.x, batch.y, run.threat)

    def adaptive(self, norm: Norm) -> Attack | None:
        """The strongest of the authors' attacks: PGD through all of it, on the mean of 20 draws."""
        return EOT(attack=PGDAttack(pgd=PGD(steps=200))) if norm in NORMS else None

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        assert isinstance(model, Purified)
        drawn = model.transform.draw(batch.x)  # one for both terms
        seen = x_adv if self.recon_input == "adv" else batch.x
        rebuilt = model.purify(seen, drawn)
        total = 2 * F.l1_loss(rebuilt, seen)
        run.note("l1", total)
        if model.purifier.critic is not None:
            total = total + contest(model.purifier.critic, seen, rebuilt, self.live_gan)
        if self._labels(run):
            purified = rebuilt if seen is x_adv else model.purify(x_adv, drawn)
            labels = F.cross_entropy(model.classify(purified), batch.y)
            run.note("cross_entropy", labels)
            total = total + self.weight * labels
        return total

    def _labels(self, run: Run) -> bool:
        return run.stage == "finetune" and self.weight > 0 and run.progress >= self.delay

    def passes(self, stage: str) -> Passes:
        adv, views = self.recon_input == "adv", self.transform.views
        attack = self.attack.steps * (1 if self.attack_target == "classifier" else views + 1)
        more = attack + (1 if adv else views + 1) if self.weight else attack * adv
        count = views + more * (stage == "finetune")
        return Passes(count, count)


presets = {
    "*": Atop(lr=3e-3),  # ours: small data need longer steps to get away from random weights
    "digits": Atop(lr=2e-3, transform=Transform(sigma=0.1)),  # ours, chosen on the validation part
    "mnist": Atop(lr=1e-3, width=8),  # ours, as digits; the width, for the sake of time
    **dict.fromkeys(("cifar10", "cifar100"), Atop(width=48)),  # the authors', for RT2
    "imagenette": Atop(width=48, weight=0.1),  # the same
}
