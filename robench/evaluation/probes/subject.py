"""The images that are attacked, and a model that every attack can run on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.seeds import derive
from robench.threat import Threat


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
