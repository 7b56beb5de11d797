"""A keeper that saves at one moment and dies at a later one, as a killed process does."""

from collections.abc import Callable

from robench.keeping import State
from robench.training.checkpoint import pack_state, unpack_state


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """Moments are counted in calls; what is saved goes through a file's bytes and back."""

    def __init__(self, saves: int = 0, dies: int = 0, kept: bytes | None = None) -> None:
        self.saves, self.dies, self.kept, self.moment = saves, dies, kept, 0

    def load(self) -> State | None:
        return unpack_state(self.kept) if self.kept is not None else None

    def between(self, state: Callable[[], State]) -> None:
        self.moment += 1
        if self.moment == self.saves:
            self.kept = pack_state(state())
        if self.moment == self.dies:
            raise Killed

    ended = between
