"""Batches of real and extra images, around any method that trains on batches."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.data.batches import Batch
from robench.data.pool import Pool
from robench.errors import ConfigError
from robench.models.generator import Generator
from robench.models.passes import Passes
from robench.models.supplied import Supplied
from robench.training.method import Method, Run, Stage, State
from robench.training.wrapper import Wrapper

STAGE = "generator"

IMAGES = "mixed/images"
"""What was drawn from the generator, in ``run.state``."""


@dataclass(frozen=True, kw_only=True)
class Mixed(Wrapper):
    """Base of methods that train another one on batches of which a share are real images.

    Batches, and so epochs and their cost, are as large as without extra images. Those are drawn
    with replacement, and augmented as the others are. They come from a file or, without one, from a
    generator that a stage of its own trains on the training part before the inner method begins;
    it is drawn from once, so that the number of its images means something.
    """

    replaces: ClassVar[tuple[str, ...]] = ("extra_data",)

    real: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Share of each batch that are real images."""
    extra: str = ""
    """The .npz file of extra images, below the data root or absolute; empty: a generator's."""
    samples: Annotated[int, Meta(ge=1)] | None = None
    """Extra images at most; none: all of the file, or of a generator as many as there are real."""
    generator_share: Annotated[float, Meta(gt=0)] = 1.0
    """Epochs of the generator's stage, as a share of the recipe's; it adds to them."""
    latent: Annotated[int, Meta(ge=1)] = 8
    """Length of the generator's codes."""
    width: Annotated[int, Meta(ge=1)] = 16
    """Channels of the generator at full size."""

    def __post_init__(self) -> None:
        """Refuse an inner method whose stages are named as this one's."""
        super().__post_init__()
        if STAGE in [stage.name for stage in self.inner.stages()]:
            outer, there = self.choice, self.inner.choice
            raise ConfigError(f"{outer} has a stage {STAGE!r}, and so has {there}, which is in it")

    def extra_data(self) -> str:
        return self.extra if self.real < 1 else ""

    def extra_limit(self) -> int | None:
        return self.samples

    def stages(self) -> tuple[Stage, ...]:
        if not self._generates:
            return self.inner.stages()
        # Ours: it is trained as its like are, whatever the recipe of the classifier.
        recipe = {"optimizer": "adam", "lr": 3e-3, "weight_decay": 0.0, "augment": "none"}
        first = Stage(STAGE, self.generator_share, "generator.", recipe, validated=False)
        inner = (replace(s, prefix=f"classifier.{s.prefix}") for s in self.inner.stages())
        return (first, *inner)

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        model = self.inner.build(classifier, run)  # first: with the weights it would have alone
        if not self._generates:
            return model
        assert run.pool is not None
        channels, height, width = run.pool.images.pixels.shape[1:]
        shape = (channels, height, width)
        return Supplied(model, Generator(shape, self.latent, self.width, run.num_classes))

    def init(self, model: nn.Module, run: Run) -> State:
        """The inner method's, which may keep something for each image, the extra ones as well."""
        count = 0
        if self._generates:
            count = self.samples or run.num_train
        elif run.extra is not None:
            count = len(run.extra.images)
        return self.inner.init(_inside(model), replace(run, num_train=run.num_train + count))

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        if run.stage == STAGE:
            return Method.step(self, model, batch, run, optimizer)
        mixed = batch if self.real == 1 else self._mixed(batch, self._extra(model, run), run)
        return self.inner.step(_inside(model), mixed, run, optimizer)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        return batch.x if run.stage == STAGE else self.inner.perturb(_inside(model), batch, run)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if run.stage == STAGE:
            assert isinstance(model, Supplied)
            return model.generator.loss(batch.x, batch.y)
        return self.inner.loss(_inside(model), batch, x_adv, run)

    def passes(self, stage: str) -> Passes:
        """A generator is no classifier, and is not counted."""
        return Passes() if stage == STAGE else self.inner.passes(stage)

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        return self.inner.deploy(_inside(model), run)

    @property
    def _generates(self) -> bool:
        return self.real < 1 and not self.extra

    def _mixed(self, batch: Batch, extra: Pool, run: Run) -> Batch:
        """As large as the batch; extra images have positions behind the training part's."""
        kept = round(self.real * len(batch.y))
        more = extra.draw(len(batch.y) - kept)
        return Batch(
            torch.cat([batch.x[:kept], more.x]),
            torch.cat([batch.y[:kept], more.y]),
            torch.cat([batch.index[:kept], run.num_train + more.index]),
        )

    def _extra(self, model: nn.Module, run: Run) -> Pool:
        if not self._generates:
            assert run.extra is not None  # the file was read before anything ran
            return run.extra
        assert isinstance(model, Supplied)
        assert run.pool is not None
        if IMAGES not in run.state:
            run.state[IMAGES] = model.drawn(self.samples or run.num_train)
        return Pool(model.supply(run.state[IMAGES]), run.pool.augmented)


def _inside(model: nn.Module) -> nn.Module:
    """What the inner method has built."""
    return model.classifier if isinstance(model, Supplied) else model
