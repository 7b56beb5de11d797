"""Robust accuracy of a classifier that may reject: under attacks that know of its detector, too.

An image stands where it is classified rightly or rejected. What that is worth shows beside the same
classifier without the detector at eps / 2, which can be had from any such pair, if at great cost
(Tramer 2022, arXiv:2107.11630).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.apgd import APGD
from robench.adversary.attack import Attack, checked
from robench.adversary.measure import Reading, Value, features
from robench.adversary.orthogonal import OrthogonalPGD
from robench.adversary.pgd import PGD
from robench.data.load import Data, Images
from robench.errors import AttackError
from robench.evaluation.detection import Gaussians, auc
from robench.intervals import wilson
from robench.models.classifier import Network
from robench.threat import Threat

CHUNK = 250


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A classifier with the detector of densities of features, against those who know of it."""

    score: Literal["predicted", "best"] = "predicted"
    """The density under the predicted class, or the highest under any."""
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Of rightly classified natural images, at most so many are rejected: of the validation part,
    because the training part is what densities are fitted to."""
    near: APGD = field(default_factory=APGD)
    """On the classifier alone; an image stops at its first wrong prediction."""
    far: PGD = field(default_factory=lambda: PGD(steps=40))
    """On the classifier alone; all its steps are made."""
    both: OrthogonalPGD = field(default_factory=OrthogonalPGD)
    """On the classifier and the detector."""
    covariance: Literal["tied", "class"] = "tied"
    """One covariance for all classes, or one for each."""
    ridge: Annotated[float, Meta(gt=0)] = 1e-6
    """Added to the diagonal of a covariance."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Accuracies with and without rejection, and how well attacked images are told."""
        detector = self.fitted(model, data)
        found = self._looked(model, detector, data.test, threat)
        half = Threat(threat.norm, threat.eps / 2)
        alone = [
            detector.look(self._attacked(attack, model, data.test, half), data.test.y)
            for attack in (self.near, self.far)
        ]
        halfway = alone[0].right & alone[1].right
        return _reading(found, halfway, self.share)

    def fitted(self, model: nn.Module, data: Data) -> "Detector":
        """The detector, with its threshold."""
        gaussians = Gaussians(
            features(model, data.train.x()), data.train.y, data.facts.num_classes,
            tied=self.covariance == "tied", ridge=self.ridge,
        )  # fmt: skip
        detector = Detector(model, gaussians, self.score)
        held = detector.look(data.validation.x(), data.validation.y)
        return Detector(model, gaussians, self.score, least(held.score[held.right], self.share))

    def _looked(
        self, model: nn.Module, detector: "Detector", images: Images, threat: Threat
    ) -> dict[str, "Look"]:
        """What comes of natural images and of each attack."""
        aware = partial(self.both, score=detector.score)
        attacks: dict[str, Attack] = {"near": self.near, "far": self.far, "both": aware}
        found = {"natural": detector.look(images.x(), images.y)}
        for name, attack in attacks.items():
            found[name] = detector.look(self._attacked(attack, model, images, threat), images.y)
        return found

    def _attacked(self, attack: Attack, model: nn.Module, images: Images, threat: Threat) -> Tensor:
        parts = zip(images.x().split(CHUNK), images.y.split(CHUNK), strict=True)
        name = type(attack).__name__
        return torch.cat([checked(name, attack(model, x, y, threat), x, threat) for x, y in parts])


@dataclass(frozen=True)
class Look:
    """What classifier and detector make of images."""

    right: Tensor
    """Which are classified rightly, (N,)."""
    score: Tensor
    """(N,)"""
    accepted: Tensor
    """Which are not rejected, (N,)."""

    @property
    def stands(self) -> Tensor:
        """Images, (N,), for which there is no wrong answer."""
        return self.right | ~self.accepted


@dataclass(frozen=True)
class Detector:
    """Densities of a model's features; what scores under the threshold is rejected."""

    model: nn.Module
    gaussians: Gaussians
    which: Literal["predicted", "best"]
    threshold: float = -torch.inf

    def score(self, x: Tensor) -> Tensor:
        """Log densities (B,) of images, with a gradient."""
        density = self.gaussians.log_density(cast(Network, self.model).features(x))
        if self.which == "best":
            return density.amax(1)
        with torch.no_grad():
            predicted = self.model(x).argmax(1)
        return density.gather(1, predicted[:, None]).squeeze(1)

    @torch.no_grad()
    def look(self, x: Tensor, y: Tensor) -> Look:
        """At images (N, C, H, W) with their labels.

        Raises:
            AttackError: features are not finite.
        """
        found = features(self.model, x)
        if not found.isfinite().all():
            raise AttackError("the model's features are not finite")
        right = torch.cat([self.model(part).argmax(1) for part in x.split(CHUNK)]) == y
        score = torch.cat([self.score(part) for part in x.split(CHUNK)])
        return Look(right, score, score >= self.threshold)


def least(scores: Tensor, share: float) -> float:
    """The highest threshold that rejects at most a share of these scores (N,); of none, -inf."""
    if not len(scores):
        return -torch.inf
    return float(scores.sort().values[int(share * len(scores))])


def _reading(found: dict[str, Look], halfway: Tensor, share: float) -> Reading:
    natural, near, far, both = (found[name] for name in ("natural", "near", "far", "both"))
    images = {
        "natural": natural.right & natural.accepted,
        "oblivious": natural.right & near.stands & far.stands,
        "worst": natural.right & near.stands & far.stands & both.stands,
        "alone": natural.right & near.right & far.right,
        "half": natural.right & halfway,
    }
    values = (
        _share("natural accuracy, alone", natural.right),
        _share("natural accuracy, with rejection", images["natural"]),
        _share("robust accuracy with rejection, oblivious", images["oblivious"]),
        _share("robust accuracy with rejection, worst", images["worst"]),
        _share("robust accuracy alone, eps", images["alone"]),
        _share("robust accuracy alone, eps / 2", images["half"]),
        *_told("oblivious", natural, far, share),
        *_told("orthogonal", natural, both, share),
    )
    scores = {f"score.{name}": look.score for name, look in found.items()}
    return Reading(values, images=images | scores)


def _told(name: str, natural: Look, attacked: Look, share: float) -> tuple[Value, Value]:
    """How well what an attack has broken is told from natural images that were right."""
    kept = natural.score[natural.right]
    broken = attacked.score[natural.right & ~attacked.right]
    both = torch.cat([kept, broken]).cpu().numpy()
    caught, n = int((broken < least(kept, share)).sum()), len(broken)
    title = f"TPR at {share:.0%} FPR, {name}"
    return (
        auc(f"AUC, {name}", both, torch.arange(len(both)).numpy() < len(kept)),
        Value(title, caught / n, n, *wilson(caught, n)) if n else Value(title, float("nan"), 0),
    )


def _share(name: str, mask: Tensor) -> Value:
    count, n = int(mask.sum()), len(mask)
    return Value(name, count / n, n, *wilson(count, n))
