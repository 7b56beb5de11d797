"""Momentum: ascent along a sum of gradients, whose images other networks get wrong as well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from robench.adversary.gradient import gradient
from robench.adversary.losses import cross_entropy
from robench.adversary.pgd import ascend
from robench.threat import Threat, per_image

WIDEST = 15
"""Pixels of the kernel that Dong et al. 2019 found best on images of 299."""


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """MI-FGSM and three that add one thing to it; the last iterate, after all steps.

    An image does not stop where the network is wrong: just over one network's boundary it is not
    over another's. A step follows g, where g becomes decay g + d / mean|d|, and d is the gradient
    of the cross-entropy. With the settings as they are that is MI-FGSM (Dong et al. 2018,
    arXiv:1710.06081), which starts from the image itself.

    - ``diversity``: DI-FGSM (Xie et al. 2019, arXiv:1803.06978; with momentum, their M-DI2-FGSM).
      The network is shown some images smaller, somewhere in a black frame.
    - ``blur``: TI-FGSM (Dong et al. 2019, arXiv:1904.02884). The gradient is blurred, which stands
      for the mean over shifted copies.
    - ``neighbours``: VMI-FGSM (Wang & He 2021, arXiv:2103.15571). To d is added how much the mean
      gradient around the last image differed from the gradient there.

    In L2 a step has its length along g, and ball and neighbourhood are round; what gradients are
    divided by stays their mean absolute value, as in Dong et al. 2018, section 3.4.

    Reduces to: iterative FGSM without a random start at decay 0; MI-FGSM at diversity 0, at a blur
    of one pixel, and without neighbours, bit for bit.

    Differs from the authors' code: neighbours are cut to [0, 1], because no network promises
    anything beyond; a smaller image and its frame have the size of the image, because few networks
    take another; it is interpolated, which transfers better on MNIST than their nearest pixels.
    """

    only_calls: ClassVar[bool] = True
    many_radii: ClassVar[bool] = True

    steps: Annotated[int, Meta(ge=1)] = 10
    """Ascent steps."""
    step_size: Annotated[float, Meta(gt=0)] | None = None
    """Length of a step in [0, 1] pixel units; none: eps / steps."""
    decay: Annotated[float, Meta(ge=0)] = 1.0
    """What is kept of the sum from step to step."""
    diversity: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Chance that an image is shown smaller."""
    smallest: Annotated[float, Meta(gt=0, le=1)] = 0.9
    """The smallest side it is then shown at, as a share of its own, in whole pixels."""
    blur: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Width of the Gaussian kernel, 3 standard deviations to each side, as a share of the image's
    side; an odd number of pixels, 15 at most."""
    neighbours: Annotated[int, Meta(ge=0)] = 0
    """Random images around each iterate; every one costs a forward and a backward pass."""
    reach: Annotated[float, Meta(gt=0)] = 1.5
    """Radius in which they are drawn, as a share of eps."""

    @property
    def budget(self) -> str:
        """What follows from the settings, in words."""
        return "" if self.step_size else f"step size {1 / self.steps:g} eps"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W) inside the threat model, whether the network is wrong or not."""
        size = threat.eps / self.steps if self.step_size is None else self.step_size
        run = _Run(self, model, y, threat)
        return ascend(
            run.ask, x, x, lambda logits: cross_entropy(logits, y), threat,
            steps=self.steps, size=size, move=run.move,
        )  # fmt: skip


ATTACKS: Mapping[str, Momentum] = {
    "mi-fgsm": Momentum(),
    "di-fgsm": Momentum(diversity=0.5),
    "ti-fgsm": Momentum(blur=0.25),
    "vmi-fgsm": Momentum(neighbours=5),
}
"""By their published names, with the papers' settings but for two.

Of kernels for small images they say nothing: ours is a quarter of the image wide, 3 pixels of 8
and 7 of 28, where 5 and 15 transferred no better on digits and worse on MNIST. The paper's 20
neighbours came to the same as 5 on both, at four times the cost.
"""


class _Run:
    """What one ascent remembers from step to step."""

    def __init__(self, attack: Momentum, model: nn.Module, y: Tensor, threat: Threat) -> None:
        self.attack, self.y, self.threat = attack, y, threat
        self.model = _Diverse(model, attack) if attack.diversity else model
        self.here: Tensor | None = None
        self.before: tuple[Tensor, Tensor] | None = None
        self.sum: Tensor | None = None

    def ask(self, x_adv: Tensor) -> Tensor:
        """Logits at an iterate."""
        self.here = x_adv.detach()
        return self.model(x_adv)

    def move(self, grad: Tensor, size: Tensor) -> Tensor:
        """A step, from the gradient at the iterate asked about last."""
        assert self.here is not None
        grad = grad.nan_to_num(0.0, 0.0, 0.0)
        followed = grad if self.before is None else grad + self._variance(*self.before)
        if self.attack.neighbours:
            self.before = self.here, grad
        unit = _of_mean_one(blurred(followed, self._width(grad)) if self.attack.blur else followed)
        self.sum = unit if self.sum is None else self.attack.decay * self.sum + unit
        return size * self.threat.direction(self.sum)

    def _variance(self, x_adv: Tensor, grad: Tensor) -> Tensor:
        """The mean gradient around an image minus the gradient there."""
        around = Threat(self.threat.norm, self.attack.reach * self.threat.eps)
        total = torch.zeros_like(grad)
        for _ in range(self.attack.neighbours):
            near = around.random_start(x_adv)
            total += gradient(self.model, near, cross_entropy, self.y)[2]
        return total / self.attack.neighbours - grad

    def _width(self, grad: Tensor) -> int:
        return min(WIDEST, 2 * int(self.attack.blur * grad.shape[-1] / 2) + 1)


class _Diverse(nn.Module):
    """A network that is shown some images smaller, and draws anew which each time."""

    def __init__(self, model: nn.Module, attack: Momentum) -> None:
        super().__init__()
        self.model, self.chance, self.smallest = model, attack.diversity, attack.smallest
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.rand(len(x), device=x.device) < self.chance
        return self.model(torch.where(per_image(chosen, x).bool(), _smaller(x, self.smallest), x))


def _smaller(x: Tensor, smallest: float) -> Tensor:
    """Square images at a side below their own, in a place of a black frame; one draw for all."""
    side = x.shape[-1]
    least = max(int(smallest * side), 1)
    if least == side:
        return x
    drawn = int(torch.randint(low=least, high=side, size=(1,)))
    small = F.interpolate(x, size=drawn, mode="bilinear", align_corners=False)
    left, top = (int(torch.randint(low=0, high=side - drawn + 1, size=(1,))) for _ in range(2))
    return F.pad(small, (left, side - drawn - left, top, side - drawn - top))


def _of_mean_one(grad: Tensor) -> Tensor:
    """Gradients over their mean absolute value; zero stays zero."""
    mean = per_image(grad.flatten(1).abs().mean(1), grad)
    return torch.where(mean > 0, grad / mean, 0)


def blurred(grad: Tensor, width: int) -> Tensor:
    """Gradients (B, C, H, W) blurred by a Gaussian of an odd ``width``, zero beyond the image."""
    ends = torch.linspace(-3, 3, width, device=grad.device, dtype=grad.dtype)
    line = (-ends.square() / 2).exp()
    kernel = torch.outer(line, line) / line.sum().square()
    channels = grad.shape[1]
    return F.conv2d(grad, kernel.expand(channels, 1, -1, -1), padding=width // 2, groups=channels)
