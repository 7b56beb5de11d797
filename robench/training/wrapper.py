"""A method around another one: it passes on whatever it does not do itself."""

from collections.abc import Callable
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

    On the command line ``awp[inner=trades,inner.beta=3]``; wrappers may hold wrappers.

    Raises:
        ConfigError: the inner method does something itself that this one would pass over.
    """

    replaces: ClassVar[tuple[str, ...]] = ()
    """Parts of a method that are not asked of the inner one, so that it should not have its own."""

    inner: Method
    """The method inside, by name; its settings are inner.SETTING."""

    def __post_init__(self) -> None:
        """Refuse an inner method half of which would be left out."""
        for part in self.replaces:
            if has_own(self.inner, part):
                outer, inner = self.choice, self.inner.choice
                raise ConfigError(
                    f"{outer} does the {part} of its inner method, but {inner} has its own; "
                    f"write {inner}[inner={outer},...] where {inner} is a wrapper, too"
                )

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


def has_own(method: Method, part: str) -> bool:
    """Whether a method, or one inside it, does this part otherwise than all methods do."""
    inherited = (getattr(Method, part), getattr(Wrapper, part))
    own = getattr(type(method), part) not in inherited
    return own or (isinstance(method, Wrapper) and has_own(method.inner, part))
