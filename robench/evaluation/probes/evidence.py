"""When a number of images is evidence, and the images and attacks that give it.

Attacks draw, stop early and fail by themselves, so that an honest model shows a little of nearly
every sign. A flag goes up when it shows more than an honest model would on one choice of images in
a hundred. How often an honest model shows a sign was measured on robench's own reference models:
Madry, TRADES, MART and natural training, Linf and L2, on digits and MNIST.
"""

from dataclasses import dataclass

import torch
from scipy.stats import binom
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.evaluation.flags import Finding
from robench.seeds import derive
from robench.threat import Threat

RARE = 0.02
"""Share of images on which an honest model shows most signs, at most; 4 of 32 are evidence."""

COMMON = 0.1
"""For attacks stopped early, which a few more steps always improve; 9 of 32 are evidence."""


def beyond(count: int, of: int, share: float) -> bool:
    """Whether fewer than one in a hundred draws of ``of`` images hold ``count`` at that share."""
    return bool(binom.sf(count - 1, of, share) < 0.01)


def judged(count: int, of: int, share: float, detail: str) -> Finding:
    """A flag by a number of images; unknown where not even all of them would be evidence."""
    if not beyond(of, of, share):
        return Finding("unknown", f"{of} rightly classified images are too few to tell")
    return Finding("up" if beyond(count, of, share) else "ok", f"{count} of {of} images {detail}")


@dataclass(frozen=True)
class Subject:
    """A model, and rightly classified images to attack."""

    model: nn.Module
    x: Tensor
    y: Tensor
    threat: Threat
    seed: int

    def stands(
        self, name: str, attack: Attack, threat: Threat | None = None, among: Tensor | None = None
    ) -> Tensor:
        """Which of ``among``, a mask (B,), an attack leaves; it has a random stream of its own."""
        stands = torch.ones_like(self.y, dtype=torch.bool) if among is None else among.clone()
        todo = stands.nonzero().squeeze(1)
        if len(todo):
            stands[todo] = right(
                self.model, self.attacked(name, attack, threat, todo), self.y[todo]
            )
        return stands

    def attacked(
        self, name: str, attack: Attack, threat: Threat | None = None, todo: Tensor | None = None
    ) -> Tensor:
        """An attack's images, checked, for the images at positions ``todo``."""
        index = slice(None) if todo is None else todo
        return attempt(
            name, attack, self.model, self.x[index], self.y[index], threat or self.threat,
            derive(self.seed, "probe", name),
        )  # fmt: skip


class Attackable(nn.Module):
    """A model whose gradient is zero where it has none or is not finite, so that attacks go on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, False

    def forward(self, x: Tensor) -> Tensor:
        """The model's own logits."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.model(x)
        x = x.view_as(x)
        x.register_hook(lambda grad: grad.nan_to_num(0.0, 0.0, 0.0))
        logits: Tensor = self.model(x) + 0 * x.flatten(1).sum(1, keepdim=True)
        return logits
