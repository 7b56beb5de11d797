"""Ensemble: several networks trained together (Grefenstette et al. 2018, arXiv:1811.09300)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.averaged import Averaged
from robench.models.passes import Passes
from robench.training.method import Method, Run, State, method
from robench.training.wrapper import Wrapper, who_has


@dataclass(frozen=True, kw_only=True)
class Ensemble(Wrapper):
    """Members that differ in their first weights; the mean of their probabilities is deployed.

    Each member lowers the inner method's loss of its own prediction, all on the same batches; what
    is logged is their sum. With craft = ensemble the examples are crafted on the mean prediction,
    and what the inner method remembers is one for all; with craft = own each member is trained as
    if it were alone.

    Reduces to: its inner method at size = 1.

    Differs from the paper: known here by its abstract alone. There the ensemble is trained as one
    network, and that is what helps, not training its members apart (craft = own); here the examples
    are the ensemble's, but each loss is a member's.
    """

    size: Annotated[int, Meta(ge=1)] = 3
    """Members; ours."""
    craft: Literal["ensemble", "own"] = "ensemble"
    """What examples are crafted on: the mean prediction of all, or each member's."""

    def __post_init__(self) -> None:
        """Refuse members that could not be trained, or would all be the same."""
        super().__post_init__()
        name, start = self.inner.choice, self.inner.starts_from()
        if start:
            raise ConfigError(f"ensemble: all members of {name} would start from one cell, {start}")
        if any(stage.prefix for stage in self.inner.stages()):
            raise ConfigError(f"ensemble: {name} trains a part of its network, and here are many")
        if self.craft == "ensemble" and (owner := who_has(self.inner, "step")):
            raise ConfigError(
                f"ensemble: {owner.choice} has a step of its own, on one network; add craft=own"
            )

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        return Averaged(self.inner.build(classifier, run) for _ in range(self.size))

    def init(self, model: nn.Module, run: Run) -> State:
        if self.craft == "ensemble":
            return self.inner.init(_members(model)[0], run)
        return {
            f"ensemble/{place}/{name}": value
            for place, member in enumerate(_members(model))
            for name, value in self.inner.init(member, run).items()
        }

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        """Images crafted on the mean prediction."""
        with self._memory(run, 0) as own:
            return self.inner.perturb(model, batch, own)

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        """The sum over members, so that each gets the gradient that it would get alone."""
        losses = []
        for place, member in enumerate(_members(model)):
            with self._memory(run, place) as own:
                losses.append(self.inner.loss(member, batch, x_adv, own))
        return torch.stack(losses).sum()

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        if self.craft == "ensemble":
            return Method.step(self, model, batch, run, optimizer)
        losses = []
        for place, member in enumerate(_members(model)):  # a step leaves weights without gradient
            with self._memory(run, place) as own:
                losses.append(self.inner.step(member, batch, own, optimizer))
        return torch.stack(losses).sum()

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        deployed = []
        for place, member in enumerate(_members(model)):
            with self._memory(run, place) as own:
                deployed.append(self.inner.deploy(member, own))
        return Averaged(deployed)

    def passes(self, stage: str) -> Passes:
        one = self.inner.passes(stage)
        return Passes(self.size * one.forwards, self.size * one.backwards)

    @contextmanager
    def _memory(self, run: Run, place: int) -> Iterator[Run]:
        """The run as a member sees it: what it keeps lies beside the other members'."""
        if self.craft == "ensemble":
            yield run
            return
        prefix = f"ensemble/{place}/"
        mine = {n: v for n, v in run.state.items() if n.startswith(prefix)}
        own = replace(run, state={n.removeprefix(prefix): v for n, v in mine.items()})
        yield own
        for name in mine:
            del run.state[name]
        run.state |= {prefix + name: value for name, value in own.state.items()}


def _members(model: nn.Module) -> list[nn.Module]:
    return list(cast(Averaged, model).members)


presets = {"*": Ensemble(inner=method("madry"))}
