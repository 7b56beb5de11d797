"""A method around another one: it passes on whatever it does not do itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from robench.adversary.attack import Attack
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.passes import Passes
from robench.radius import Norm
from robench.threat import Threat
from robench.training.method import Method, Run, Stage, State


@dataclass(frozen=True, kw_only=True)
class Wrapper(Method):
    """Base of methods that change how another one trains, or what of it is deployed.

    On the command line ``awp[inner=trades,inner.beta=3]``; wrappers may hold wrappers. What one
    keeps in ``run.state`` begins with its name and a slash.

    Raises:
        ConfigError: the inner method does something itself that this one would pass over.
    """

    replaces: ClassVar[tuple[str, ...]] = ()
    """Parts of a method that are not asked of the inner one, so that it should not have its own."""

    inner: Method
    """The method inside, by name, with its own preset; its settings are inner.SETTING."""

    def __post_init__(self) -> None:
        """Refuse an inner method half of which would be left out."""
        if any(type(layer) is type(self) for layer in layers(self.inner)):
            name = self.choice  # two of them would keep one state
            raise ConfigError(f"{name} is around {name} already; once is enough")
        for part in self.replaces:
            if owner := who_has(self.inner, part):
                outer, there = self.choice, owner.choice
                turn = f"; write {there}[inner={outer}]" if isinstance(owner, Wrapper) else ""
                raise ConfigError(
                    f"{outer} replaces the {part} of the method in it, but {there} has one of its "
                    f"own{turn}"
                )

    @property
    def control(self) -> str:
        return self.inner.control

    @property
    def stochastic(self) -> bool:
        return self.inner.stochastic

    @property
    def select_on(self) -> Literal["natural", "robust"]:
        return self.inner.select_on

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return self.inner.loss(model, batch, x_adv, run)

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        return self.inner.perturb(model, batch, run)

    def balls(self, threat: Threat) -> tuple[Threat, ...]:
        return self.inner.balls(threat)

    def starts_from(self) -> str:
        return self.inner.starts_from()

    def extra_data(self) -> str:
        return self.inner.extra_data()

    def extra_limit(self) -> int | None:
        return self.inner.extra_limit()

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        return self.inner.build(classifier, run)

    def init(self, model: nn.Module, run: Run) -> State:
        return self.inner.init(model, run)

    def stages(self) -> tuple[Stage, ...]:
        return self.inner.stages()

    def passes(self, stage: str) -> Passes:
        return self.inner.passes(stage)

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        return self.inner.step(model, batch, run, optimizer)

    def adaptive(self, norm: Norm) -> Attack | None:
        return self.inner.adaptive(norm)

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        return self.inner.deploy(model, run)


def layers(method: Method) -> Iterator[Method]:
    """A method, the one in it, and so on to the innermost."""
    yield method
    if isinstance(method, Wrapper):
        yield from layers(method.inner)


def who_has(method: Method, part: str) -> Method | None:
    """The outermost of a method and those in it that does a part otherwise than all methods do."""
    inherited = (getattr(Method, part), getattr(Wrapper, part))
    own = (one for one in layers(method) if getattr(type(one), part) not in inherited)
    return next(own, None)
