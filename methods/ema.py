"""EMA: averaged weights of any method are deployed (Wang & Wang 2022, arXiv:2203.09678)."""

import copy
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.data.batches import Batch
from robench.device import full_precision
from robench.errors import ConfigError
from robench.seeds import seeded
from robench.training.method import Run, State, method
from robench.training.wrapper import Wrapper

BATCH = 128
"""Most images in a pass that estimates statistics."""


@dataclass(frozen=True, kw_only=True)
class Ema(Wrapper):
    """The inner method trains as it does by itself; the average of its weights is deployed.

    With a decay the average moves at every step, and so do the statistics of batch normalisation
    in it. With decay = none it is SWA (Izmailov et al. 2018, arXiv:1803.05407; around adversarial
    training: Chen et al. 2021, openreview:qZzy5urZw9): the equal mean of the weights at the ends of
    epochs. Statistics are then estimated anew on the first training images, without augmentation:
    one forward pass of each at every look at the validation part, and whenever the cell is loaded.

    The recipe's own recipe.ema is one for all methods of a grid, always has the same decay, and
    begins with the weights after the first step, as here with warmup = false. Here it is a method
    beside others, with a key of its own, and may lie inside another wrapper. Beside each other,
    this average is what is deployed.

    Reduces to: its inner method at decay = 0, or where no epoch ends after start (SWA).

    Differs from the authors' code: nothing known of SEAT's average but the shared recipe, whose
    rate theirs lets fall in a straight line. Chen et al. estimate statistics on a whole augmented
    epoch, and distil knowledge as well.
    """

    decay: Annotated[float, Meta(ge=0, lt=1)] | None = 0.999
    """Of the average at every step, SEAT's; none: the equal mean of epochs' ends (SWA)."""
    warmup: bool = True
    """Whether the decay of step t is at most (t + 1) / (t + 10), as SEAT's, t from 0."""
    start: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Share of the last stage before averaging begins; Chen et al. have 55 of 200 epochs."""
    images: Annotated[int, Meta(ge=2)] = 1024
    """Training images on which SWA estimates statistics; ours, theirs are all."""

    def init(self, model: nn.Module, run: Run) -> State:
        own = {f"ema/{name}": value.clone() for name, value in _numbers(model).items()}
        return {**self.inner.init(model, run), **own, "ema/count": torch.tensor(0)}

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        loss = self.inner.step(model, batch, run, optimizer)
        share = self._share(run)
        for name, value in _numbers(model).items():
            run.state[f"ema/{name}"].lerp_(value, share.to(value.dtype))
        return loss

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        averaged = copy.deepcopy(model)
        state = {name: run.state[f"ema/{name}"] for name in _numbers(model)}
        averaged.load_state_dict(model.state_dict() | state)
        if self.decay is None and run.state["ema/count"] > 0:
            self._estimate(averaged, run)
        return self.inner.deploy(averaged, run)

    def _share(self, run: Run) -> Tensor:
        """Of the way to the weights that the average goes now; all of it before there is one."""
        count = run.state["ema/count"]
        begun = run.stage == self.stages()[-1].name and run.progress >= self.start
        if not begun or (self.decay is None and not run.ends_epoch):
            return (count == 0).float()
        run.state["ema/count"] = count + 1
        if self.decay is None:
            return 1 / (count + 1)
        if self.warmup:
            return (9 / (count + 10)).clamp_min(1 - self.decay)
        return torch.where(count == 0, 1.0, 1 - self.decay)

    def _estimate(self, model: nn.Module, run: Run) -> None:
        """Statistics of batch normalisation as the mean of those of batches of training images."""
        if run.pool is None:
            raise ConfigError("ema with decay=none needs training images to estimate statistics on")
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
        layers = [m for m in model.train().modules() if isinstance(m, kinds) and m.training]
        images = run.pool.images.first(self.images)
        model.eval()
        for layer in layers:
            layer.train().reset_running_stats()
            layer.momentum = None
        if layers:
            with torch.no_grad(), full_precision(), seeded(0):
                for part in torch.arange(len(images)).tensor_split(-(-len(images) // BATCH)):
                    model(images.x(part.to(images.y.device)))
        model.eval()


def _numbers(model: nn.Module) -> State:
    """Weights and statistics; no counts."""
    return {n: v.detach() for n, v in model.state_dict().items() if v.is_floating_point()}


presets = {"*": Ema(inner=method("madry"))}  # SEAT's, around its cross-entropy on PGD examples
