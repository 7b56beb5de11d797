"""What work is taken up from: the contract between what computes and what saves."""

from collections.abc import Callable
from typing import Any, Protocol

State = dict[str, Any]
"""Tensors and plain values: what ``torch.load(weights_only=True)`` gives back."""


class Keeper(Protocol):
    """Keeps a state to go on from; it may raise to stop the work, after it has saved."""

    def load(self) -> State | None:
        """What was saved before; none: the work begins."""

    def between(self, state: Callable[[], State]) -> None:
        """Between two steps: save if it is time to."""

    def ended(self, state: Callable[[], State]) -> None:
        """At the end of a part that is not the last: save."""


class Forgetful:
    """Keeps nothing: for work of seconds."""

    def load(self) -> None:
        """Nothing was saved."""

    def between(self, state: Callable[[], State]) -> None:
        """It is never time to."""

    def ended(self, state: Callable[[], State]) -> None:
        """Not even here."""
