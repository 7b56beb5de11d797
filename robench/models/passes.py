"""Count the work: images passed forwards and backwards through the networks of a module."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from robench.models.classifier import Network
from robench.models.purifier import Purifier


@dataclass
class Passes:
    """Images that went through a network so far; the two passes of one image count one each."""

    forwards: int = 0
    backwards: int = 0

    def __add__(self, other: "Passes") -> "Passes":
        """Both one after the other."""
        return Passes(self.forwards + other.forwards, self.backwards + other.backwards)

    def _forward(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        count = len(output)
        self.forwards += count
        if output.requires_grad:
            output.register_hook(lambda grad: self._backward(count))

    def _backward(self, count: int) -> None:
        self.backwards += count


@contextmanager
def counted(model: nn.Module) -> Iterator[Passes]:
    """Count passes through every classifier and purifier in a module, or through the module itself.

    The hooks sit behind a classifier's body, because methods may ask for ``features`` alone.
    """
    passes, parts = Passes(), list(model.modules())
    networks: list[nn.Module] = [part.passed for part in parts if isinstance(part, Network)]
    networks += [part for part in parts if isinstance(part, Purifier)]
    handles = [part.register_forward_hook(passes._forward) for part in networks or [model]]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
