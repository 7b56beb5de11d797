"""Certified accuracy of a smoothed classifier (Cohen et al. 2019, arXiv:1902.02918)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from scipy.stats import beta, norm
from torch import Tensor, nn

from robench.adversary.measure import Curve, Reading, Value
from robench.data.load import Data
from robench.errors import AttackError
from robench.intervals import wilson
from robench.models.smoothed import Smoothed
from robench.threat import Threat

ABSTAINED = -1.0
"""Radius of an image about which the noisy votes say nothing."""


@dataclass(frozen=True, kw_only=True)
class Certification:
    """For each image, the L2 radius in which no perturbation changes the smoothed answer.

    The answer is what most of infinitely many noisy copies are classified as. A few draws guess it;
    many others bound its share from below (Clopper-Pearson), which gives the radius
    sigma x normal quantile of that bound. At a bound of a half or less it abstains.
    """

    sigma: Annotated[float, Meta(gt=0)] | None = None
    """Noise in [0, 1] pixel units, where the model brings none of its own; none: half of eps."""
    guesses: Annotated[int, Meta(ge=1)] = 100
    """Draws that choose the answer; the authors' n0."""
    draws: Annotated[int, Meta(ge=1)] = 1000
    """Draws that bound its share; the authors take 100,000, which reach further."""
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.001
    """Chance that an image's radius is too large."""

    def __call__(self, model: nn.Module, data: Data, threat: Threat) -> Reading:
        """Certified accuracy at eps and over radii, and how often it abstains."""
        if threat.norm != "L2":
            raise AttackError("smoothing with Gaussian noise certifies L2 radii alone")
        base, sigma = model, self.sigma or float(threat.eps) / 2
        if isinstance(model, Smoothed):
            base, sigma = model.base, model.sigma
        answers, radii = list[int](), list[float]()
        for index in range(len(data.test)):
            x, classes = data.test.x(slice(index, index + 1)), data.facts.num_classes
            guess = int(_votes(base, sigma, x, self.guesses, classes).argmax())
            votes = _votes(base, sigma, x, self.draws, classes)
            answers.append(guess)
            radii.append(certified_radius(int(votes[guess]), self.draws, sigma, self.alpha))
        right = torch.tensor(answers) == data.test.y.cpu()
        reach = torch.tensor(radii, dtype=torch.float64)
        return self._reading(right, reach, float(threat.eps), sigma)

    def _reading(self, right: Tensor, reach: Tensor, eps: float, sigma: float) -> Reading:
        n, abstained = len(right), int((reach == ABSTAINED).sum())
        x = torch.linspace(0, 4 * eps, 41, dtype=torch.float64)
        y = ((reach[:, None] >= x) & right[:, None]).double().mean(0)
        certified = (reach >= eps) & right
        mean = torch.where(right, reach.clamp_min(0), 0).double().mean().item()
        values = (
            _share("certified at eps", int(certified.sum()), n),
            _share("right, at any radius", int(((reach >= 0) & right).sum()), n),
            _share("abstained", abstained, n),
            Value("mean certified radius", mean, n),
            Value("noise", sigma, n),
            Value(
                "largest radius that the draws can prove",
                certified_radius(self.draws, self.draws, sigma, self.alpha),
                n,
            ),
        )
        curve = Curve("certified accuracy", "L2 radius", "certified accuracy", x, y)
        return Reading(values, (curve,), {"radius": reach, "right": right})


def _votes(base: nn.Module, sigma: float, x: Tensor, draws: int, classes: int) -> Tensor:
    """How many noisy copies of an image are classified as each class, (classes,)."""
    votes = torch.zeros(classes, dtype=torch.long, device=x.device)
    with torch.no_grad():
        for part in torch.arange(draws).split(1000):
            noisy = x + sigma * torch.randn(len(part), *x.shape[1:], device=x.device)
            logits = base(noisy)
            if not logits.isfinite().all():
                raise AttackError("the model's logits are not finite")
            votes += logits.argmax(1).bincount(minlength=classes)
    return votes


def certified_radius(votes: int, draws: int, sigma: float, alpha: float) -> float:
    """The radius that so many votes for the answer bear out, or ``ABSTAINED``."""
    least = float(beta.ppf(alpha, votes, draws - votes + 1)) if votes else 0.0
    return sigma * float(norm.ppf(least)) if least > 0.5 else ABSTAINED


def _share(name: str, count: int, n: int) -> Value:
    return Value(name, count / n, n, *wilson(count, n))
