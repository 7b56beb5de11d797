"""TLA: a triplet loss beside adversarial training (Mao et al. 2019, arXiv:1909.00900)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.classifier import Classifier
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run, crafting


@dataclass(frozen=True, kw_only=True)
class Tla(Adversarial):
    """In features, an attacked image is nearer to its class than to the nearest of another one.

    The negative is, of a pool of random images, the one of another class whose features are most
    like those of the attacked image. Distances are 1 - |cosine|, hinged at a margin.

    Reduces to: adversarial training that goes on from its start, at weight = 0, but for the
    statistics of batch normalisation, which see the other images, too.

    Differs from the authors' code: images of an anchor's own class are no negatives (theirs have
    similarity 0, which can win; their random ones may be of any class), and without another class
    in the pool there is no triplet (theirs takes image 0). No labels are smoothed; noise is not
    rounded to grey levels. The recipe's schedule begins anew at the start's weights. The best
    checkpoint is chosen on validation images (theirs: on test images).
    """

    start: str | None = "madry"
    """The method on whose trained cell it goes on, as in the authors' CIFAR-10 results; or none."""
    weight: Annotated[float, Meta(ge=0)] = 2.0
    """Of each triplet term; the authors' lambda."""
    margin: Annotated[float, Meta(ge=0, le=2)] = 0.03
    """By which the positive should be nearer than the negative."""
    positives: Literal["own", "class", "both"] = "both"
    """The image itself with uniform noise; another image of its class; a term for each."""
    negative: Literal["hardest", "random"] = "hardest"
    """The most similar of the pool; any image of another class (TLA-RN)."""
    anchor: Literal["adversarial", "natural"] = "adversarial"
    """What the two distances start at; natural switches it with the positive (TLA-SA)."""
    pool: Annotated[int, Meta(ge=1)] = 10
    """Batches of images in the pool."""
    penalty: Annotated[float, Meta(ge=0)] = 1e-3
    """Of the mean square of all features, inside the weighted term."""

    def starts_from(self) -> str:
        return self.start or ""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if not isinstance(model, Classifier) or run.pool is None:
            raise ConfigError("tla needs a network with features, and images to draw from")
        pool = run.pool.draw(self.pool * len(batch.y))
        found, there = self._mined(model, batch.y, x_adv, pool)
        attacked = model.features(x_adv)
        negative = model.features(pool.x[found]) * there[:, None]
        total = F.cross_entropy(model.head(attacked), batch.y)
        for x in self._positives(batch, run):
            ends = (attacked, model.features(x))
            anchor, positive = ends if self.anchor == "adversarial" else ends[::-1]
            total = total + self.weight * self._triplet(anchor, positive, negative, there, run)
        return total

    def passes(self, stage: str) -> Passes:
        mining = self.pool + 1 if self.negative == "hardest" else 0
        terms = 3 if self.positives == "both" else 2
        return super().passes(stage) + Passes(mining + terms, terms)

    def _positives(self, batch: Batch, run: Run) -> list[Tensor]:
        own = run.threat.random_start(batch.x) if self.positives != "class" else None
        other = run.pool.alike(batch).x if run.pool and self.positives != "own" else None
        return [x for x in (own, other) if x is not None]

    @torch.no_grad()
    def _mined(self, model: Classifier, y: Tensor, x: Tensor, pool: Batch) -> tuple[Tensor, ...]:
        """Positions in the pool, (B,), of the negatives, and which images have one."""
        if self.negative == "random":
            likeness = torch.rand(len(y), len(pool.y), device=y.device)
        else:
            with crafting(model, "eval"):
                anchors, others = model.features(x), model.features(pool.x)
            likeness = F.normalize(anchors) @ F.normalize(others).T
        likeness = likeness.masked_fill(y[:, None] == pool.y, -torch.inf)
        best = likeness.max(1)
        return best.indices, best.values.isfinite()

    def _triplet(
        self, anchor: Tensor, positive: Tensor, negative: Tensor, there: Tensor, run: Run
    ) -> Tensor:
        near = 1 - F.cosine_similarity(anchor, positive).abs()
        far = 1 - F.cosine_similarity(anchor, negative).abs()
        hinge = F.relu(near - far + self.margin) * there
        run.note("distance/positive", near.mean())
        run.note("distance/negative", far.mean())
        run.note("active", (hinge > 0).float().mean())
        size = sum(h.square().mean() for h in (anchor, positive, negative))
        return hinge.sum() / there.sum().clamp_min(1) + self.penalty * size


presets = {
    "*": Tla(),  # ours: the authors' CIFAR-10 values; smaller networks want less of both weights
    # The authors' config_mnist.json: from random weights, one positive, one batch of images.
    "mnist": Tla(
        start=None,
        weight=0.5,
        margin=0.05,
        positives="class",
        pool=1,
        penalty=1e-4,
        attack=PGD(steps=40, step_size=0.01),
    ),
    "cifar10": Tla(attack=PGD(steps=7, step_size=2 / 255)),  # their config_cifar.json
}
