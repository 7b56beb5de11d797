"""Free: each update is a step of the attack as well (Shafahi et al. 2019, arXiv:1904.12843)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Method, Run, Stage


@dataclass(frozen=True, kw_only=True)
class Free(Method):
    """One backward pass gives the gradients of weights and of images; both take a step.

    Each batch is replayed so often, and epochs are so many fewer. A perturbation moves on by eps in
    each replay, and starts from that of the image that had its place in the batch before. In a
    smaller batch the rest waits; images that a larger one has more of start unperturbed.

    Reduces to: natural training at eps = 0 and replays = 1.

    Differs from the authors' code: perturbations are cut to [0, 1] with their image, and always
    have a gradient (theirs are cut on the way into the network, and pixels that are cut have none;
    that of Wong et al. 2020 cuts as here, but not before a batch's first pass). The learning rate
    moves on once a batch, not once a replay. The recipe is the shared one.
    """

    select_on: ClassVar[Literal["natural", "robust"]] = "robust"

    replays: Annotated[int, Meta(ge=1)] = 8
    """Updates from each batch, and what the epochs are divided by; the authors' m."""

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(share=1 / self.replays),)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        """The batch with the perturbations of the one before."""
        return run.threat.project(batch.x + self._kept(batch, run)[: len(batch.y)], batch.x)

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        losses, x_adv = [], self.perturb(model, batch, run)
        for _ in range(self.replays):
            leaf = x_adv.requires_grad_()
            optimizer.zero_grad(set_to_none=True)
            loss = self.loss(model, batch, leaf, run)
            loss.backward()
            optimizer.step()
            assert leaf.grad is not None
            ascent = run.threat.eps * run.threat.direction(leaf.grad)
            x_adv = run.threat.project(leaf.detach() + ascent, batch.x)
            losses.append(loss.detach())
        waiting = self._kept(batch, run)[len(batch.y) :]
        run.state["delta"] = torch.cat([x_adv - batch.x, waiting])
        return torch.stack(losses).mean()

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y)

    def passes(self, stage: str) -> Passes:
        return Passes(self.replays, self.replays)

    def _kept(self, batch: Batch, run: Run) -> Tensor:
        """Perturbations of the batches before, at least as many as there are images in this one."""
        kept = run.state.get("delta", batch.x[:0])
        return torch.cat([kept, torch.zeros_like(batch.x[len(kept) :])])


presets = {"*": Free()}  # the authors' replays for CIFAR-10
