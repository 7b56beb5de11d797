"""Defense-GAN: images are projected on a generator (Samangouei et al. 2018, arXiv:1805.06605)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.adversary.apgd import APGD
from robench.adversary.attack import Attack
from robench.adversary.bpda import BPDA
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.generator import Generator
from robench.models.passes import Passes
from robench.models.projection import Projected, Projection
from robench.radius import NORMS, Norm
from robench.training.method import Method, Run, Stage, State, method
from robench.training.wrapper import Wrapper

PROJECTION = "projection"


@dataclass(frozen=True, kw_only=True)
class DefenseGan(Wrapper):
    """The nearest image that a generator can make is classified, not the image that is shown.

    The generator is trained first, on natural images; the classifier then as the inner method does.

    Reduces to: its inner method where the generator rebuilds every image.

    Differs from the authors' code: the generator is a variational auto-encoder's, which has one
    loss, seldom fails and leaves out no kind of image (theirs: a Wasserstein GAN). The starts are
    drawn once (theirs: anew for each image), so that its answers repeat. Starts, steps and rate are
    ours; they have 10, 200 and 10 on MNIST. Athalye et al. take the projection's gradient for the
    identity; going through its steps, as here, leaves half as many digits standing.
    """

    control: ClassVar[str] = "BPDA: the projection's steps unrolled (Athalye et al. 2018)"
    replaces: ClassVar[tuple[str, ...]] = ("adaptive",)

    latent: Annotated[int, Meta(ge=1)] = 16
    """Numbers in a code."""
    width: Annotated[int, Meta(ge=1)] = 8
    """Channels of the generator at the images' size."""
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Of the epochs, for the generator, before the inner method has all of them."""
    lr: Annotated[float, Meta(gt=0)] = 3e-3
    """Of Adam, for the generator."""
    starts: Annotated[int, Meta(ge=1)] = 2
    """Codes from which the nearest image is searched for; the paper's R."""
    steps: Annotated[int, Meta(ge=1)] = 10
    """Of gradient descent from each of them; the paper's L."""
    rate: Annotated[float, Meta(gt=0)] = 30.0
    """Of gradient descent on the mean squared difference of pixels."""

    def stages(self) -> tuple[Stage, ...]:
        own = {"optimizer": "adam", "lr": self.lr, "weight_decay": 0.0}
        first = Stage(PROJECTION, self.share, f"{PROJECTION}.", own)
        return first, *(replace(s, prefix=f"classifier.{s.prefix}") for s in self.inner.stages())

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        if run.pool is None:
            raise ConfigError("defensegan: its generator has to know the size of the images")
        channels, height, width = run.pool.images.pixels.shape[1:]
        made = Generator((channels, height, width), self.latent, self.width)
        projection = Projection(made, self.starts, self.steps, self.rate)
        return Projected(projection, self.inner.build(classifier, run))

    def init(self, model: nn.Module, run: Run) -> State:
        return self.inner.init(_parts(model).classifier, run)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        if run.stage == PROJECTION:
            return batch.x
        return self.inner.perturb(_parts(model).classifier, batch, run)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if run.stage == PROJECTION:
            return _parts(model).projection.generator.loss(batch.x)
        return self.inner.loss(_parts(model).classifier, batch, x_adv, run)

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        if run.stage == PROJECTION:
            return Method.step(self, model, batch, run, optimizer)
        return self.inner.step(_parts(model).classifier, batch, run, optimizer)

    def passes(self, stage: str) -> Passes:
        return Passes() if stage == PROJECTION else self.inner.passes(stage)

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        parts = _parts(model)
        deployed = self.inner.deploy(parts.classifier, run)
        if run.stage == PROJECTION:  # nothing has been learnt that a projection could protect
            return deployed
        return Projected(parts.projection, deployed)

    def adaptive(self, norm: Norm) -> Attack | None:
        return BPDA(attack=APGD(steps=40)) if norm in NORMS else None


def _parts(model: nn.Module) -> Projected:
    assert isinstance(model, Projected)
    return model


presets = {
    "*": DefenseGan(inner=method("natural")),
    "digits": DefenseGan(inner=method("natural"), width=16, steps=20),  # ours
}
