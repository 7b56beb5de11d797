"""Detection of adversarial images by the density of their features: ROC curves, not robustness.

A Gaussian for each class is fitted to features of training images; how likely they make an image is
a score. Mao et al. 2019 (arXiv:1909.00900) report such curves and give no code: the detectors here
are ours. An attacker who knows of the detector is not among those it is tested on.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from robench.adversary.measure import Curve, Reading, Value, features
from robench.adversary.pgd import PGD
from robench.data.load import Data
from robench.errors import AttackError
from robench.threat import Threat

Numbers = npt.NDArray[np.float64]

_RATES = np.linspace(0, 1, 101)
"""False positive rates at which curves are read."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How well densities tell natural images from attacked ones, and right answers from wrong."""

    attack: PGD = field(default_factory=lambda: PGD(steps=20))
    """On the classifier alone; all its steps are made."""
    parts: tuple[Annotated[float, Meta(gt=0)], ...] = (1.0, 1.5, 2.0)
    """Radii, in shares of eps."""
    covariance: Literal["tied", "class"] = "tied"
    """One covariance for all classes, or one for each."""
    ridge: Annotated[float, Meta(gt=0)] = 1e-6
    """Added to the diagonal of a covariance."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Areas under the ROC curve for each radius, task and score."""
        gaussians = Gaussians(
            features(model, data.train.x()), data.train.y, data.facts.num_classes,
            tied=self.covariance == "tied", ridge=self.ridge,
        )  # fmt: skip
        x, y = data.test.x(), data.test.y
        natural, _ = _scored(model, gaussians, x)
        values, curves = list[Value](), list[Curve]()
        for part in self.parts:
            x_adv = self._attacked(model, x, y, Threat(threat.norm, threat.eps * part))
            attacked, predicted = _scored(model, gaussians, x_adv)
            right = (predicted == y).cpu().numpy()
            values.append(
                Value(f"right of the attacked, {part:g} eps", float(right.mean()), len(y))
            )
            for task, sides in _tasks(natural, attacked, right):
                for name, score, is_true in sides:
                    values.append(auc(f"AUC {task}, {name}, {part:g} eps", score, is_true))
                    if name == "logistic":
                        curves += _roc(f"{task}, {part:g} eps", score, is_true)
        return Reading(tuple(values), tuple(curves))

    def _attacked(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        parts = zip(x.split(250), y.split(250), strict=True)
        return torch.cat([self.attack(model, part, label, threat) for part, label in parts])


class Gaussians:
    """A normal distribution of features for each class; a class without images has density 0."""

    def __init__(
        self, found: Tensor, y: Tensor, num_classes: int, *, tied: bool, ridge: float
    ) -> None:
        found = found.double()
        self.means = torch.stack([found[y == k].mean(0) for k in range(num_classes)])
        around = found - self.means[y]
        groups = [around] if tied else [around[y == k] for k in range(num_classes)]
        eye = ridge * torch.eye(found.shape[1], dtype=torch.float64, device=found.device)
        self._roots = torch.stack(
            [torch.linalg.cholesky(g.T @ g / max(len(g), 1) + eye) for g in groups]
        )

    def log_density(self, found: Tensor) -> Tensor:
        """Of features (N, width) under each class, (N, classes)."""
        found, columns = found.double(), []
        for k, mean in enumerate(self.means):
            root = self._roots[k % len(self._roots)]
            white = torch.linalg.solve_triangular(root, (found - mean).T, upper=False)
            volume = root.diagonal().log().sum() + len(mean) * math.log(2 * math.pi) / 2
            columns.append(-white.square().sum(0) / 2 - volume)
        return torch.stack(columns, 1).nan_to_num(nan=-torch.inf, neginf=-torch.inf)


def _scored(model: nn.Module, gaussians: Gaussians, x: Tensor) -> tuple[Numbers, Tensor]:
    """Log densities (N, classes), and after them that of the predicted class; predictions (N,)."""
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(1) for part in x.split(500)])
    found = features(model, x)
    if not found.isfinite().all():
        raise AttackError("the model's features are not finite")
    density = gaussians.log_density(found)
    own = density.gather(1, predicted[:, None])
    return torch.cat([density, own], 1).cpu().numpy(), predicted


def _tasks(
    natural: Numbers, attacked: Numbers, right: npt.NDArray[np.bool_]
) -> Iterator[tuple[str, list[tuple[str, Numbers, npt.NDArray[np.bool_]]]]]:
    """Each task: its name, and under each score what should score high and what low."""
    both = np.concatenate([natural, attacked])
    is_natural = np.arange(len(both)) < len(natural)
    yield "natural-attacked", list(_scores(both, is_natural, np.arange(len(both)) % len(natural)))
    yield "right-wrong of the attacked", list(_scores(attacked, right, np.arange(len(attacked))))


def _scores(
    found: Numbers, is_true: npt.NDArray[np.bool_], image: npt.NDArray[np.int64]
) -> Iterator[tuple[str, Numbers, npt.NDArray[np.bool_]]]:
    density, own = found[:, :-1], found[:, -1]
    yield "best class", density.max(1), is_true
    yield "predicted class", own, is_true
    density = density[:, np.isfinite(density).all(0)]  # a class without images tells nothing
    fitted = image % 2 == 0  # both versions of an image lie in the same half
    if len(np.unique(is_true[fitted])) == 2 and not fitted.all():
        scale = StandardScaler().fit(density[fitted])
        judge = LogisticRegression(max_iter=1000).fit(
            scale.transform(density[fitted]), is_true[fitted]
        )
        yield (
            "logistic",
            judge.decision_function(scale.transform(density[~fitted])),
            is_true[~fitted],
        )
    else:
        yield "logistic", np.zeros((~fitted).sum()), np.zeros((~fitted).sum(), dtype=bool)


def auc(name: str, score: Numbers, is_true: npt.NDArray[np.bool_]) -> Value:
    """Chance that a true one scores over a false one; NaN where there are none of either.

    The interval is Hanley and McNeil's (1982), which says nothing of complete separation.
    """
    positives, negatives = int(is_true.sum()), int((~is_true).sum())
    if not positives or not negatives:
        return Value(name, float("nan"), len(is_true))
    rank = np.unique(score, return_inverse=True)[1]  # a density of 0 has no finite logarithm
    area = float(roc_auc_score(is_true, rank))
    if area in (0, 1):
        return Value(name, area, len(is_true))
    twice = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (twice[0] - area**2)
        + (negatives - 1) * (twice[1] - area**2)
    ) / (positives * negatives)
    half = 1.96 * max(variance, 0) ** 0.5
    return Value(name, area, len(is_true), max(area - half, 0.0), min(area + half, 1.0))


def _roc(name: str, score: Numbers, is_true: npt.NDArray[np.bool_]) -> list[Curve]:
    if is_true.all() or not is_true.any():
        return []
    false, true, _ = roc_curve(is_true, score)
    y = np.interp(_RATES, false, true)
    labels = ("false positive rate", "true positive rate")
    return [Curve(f"ROC {name}", *labels, torch.from_numpy(_RATES), torch.from_numpy(y))]
