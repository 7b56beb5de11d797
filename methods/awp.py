"""AWP: any method's loss, at the worst weights nearby (Wu et al. 2020, arXiv:2004.05884)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.training.method import Adversarial, Run, crafting, method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Awp(Wrapper):
    """Adversarial weight perturbation: the gradient of a step is that at raised weights.

    Each weight of two axes or more goes up the inner method's loss by gamma times its own length.
    The loss is lowered there, and the step is made from where the weights were. What is logged is
    the raised loss; its examples were crafted before.

    Reduces to: its inner method at gamma = 0, or with warmup = 1.

    Differs from the authors' code: weights are put back before the optimiser's step, bit for bit
    (theirs: after it, by subtraction), so weight decay acts on what was there, not on raised
    weights. The way up is the gradient's (theirs: a step of SGD by a copy of the network, of which
    they use the direction alone). A loss that draws, draws anew for the way up.
    """

    replaces: ClassVar[tuple[str, ...]] = ("step",)

    gamma: Annotated[float, Meta(ge=0)] = 0.01
    """Share of its own length by which a weight is raised; the authors' 0.01 is for madry."""
    warmup: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of training before weights are raised; the authors' for madry is 0."""

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        if not self.gamma or run.progress < self.warmup:
            return self.inner.step(model, batch, run, optimizer)
        with crafting(model, run.craft):
            x_adv = self.inner.perturb(model, batch, run)
        trained = [w for group in optimizer.param_groups for w in group["params"]]
        weights = [w for w in trained if w.ndim > 1 and w.requires_grad]
        with _kept([*model.buffers()]):  # the way up leaves no trace
            aside = replace(run, state={n: v.clone() for n, v in run.state.items()})
            aside.log, aside.noted = {}, {}
            loss = self.inner.loss(model, batch, x_adv, aside)
            slopes = torch.autograd.grad(loss, weights, allow_unused=True)
        with _kept(weights):
            with torch.no_grad():
                for weight, slope in zip(weights, slopes, strict=True):
                    if slope is not None:
                        length = weight.norm() / slope.norm().clamp_min(1e-20)
                        weight.add_(self.gamma * length * slope)
            optimizer.zero_grad(set_to_none=True)
            loss = self.inner.loss(model, batch, x_adv, run)
            loss.backward()
        optimizer.step()
        return loss.detach()

    def passes(self, stage: str) -> Passes:
        """The way up costs at most what a step does without those of PGD."""
        inner = self.inner
        if isinstance(inner, Adversarial):
            inner = replace(inner, attack=replace(inner.attack, steps=0))
        return self.inner.passes(stage) + inner.passes(stage)


@contextmanager
def _kept(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Whatever happens inside, these are in the end what they were, bit for bit."""
    copies = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.copy_(copy)


# The authors' TRADES-AWP, their best figure without further data: in their train_trades_cifar.py
# the tenth of 200 epochs is the first with it.
presets = {"*": Awp(inner=method("trades"), gamma=0.005, warmup=9 / 200)}
