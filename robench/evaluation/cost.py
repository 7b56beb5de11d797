"""What a piece of an evaluation spends."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from robench.device import peak_mb
from robench.models.passes import Passes


@dataclass(frozen=True)
class Cost:
    """Seconds, images through networks, and memory."""

    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    peak_mb: float = 0.0
    """Most memory in use: of the device on CUDA, of the process elsewhere."""

    def __add__(self, other: "Cost") -> "Cost":
        """Both one after the other."""
        return Cost(
            self.seconds + other.seconds,
            self.forwards + other.forwards,
            self.backwards + other.backwards,
            max(self.peak_mb, other.peak_mb),
        )

    def shared(self, images: Sequence[int]) -> list["Cost | None"]:
        """In proportion to images, whole passes; nothing where there are none."""
        found, total, so_far, given = list[Cost | None](), sum(images), 0, (0, 0)
        for count in images:
            so_far += count
            until = self.forwards * so_far // total, self.backwards * so_far // total
            passes = until[0] - given[0], until[1] - given[1]
            seconds, given = self.seconds * count / total, until
            found.append(Cost(seconds, *passes, self.peak_mb) if count else None)
        return found


@contextmanager
def spending(passes: Sequence[Passes], device: torch.device) -> Iterator[list[Cost]]:
    """What is spent inside, as the one item of a list that is filled at the end.

    ``passes`` are counting already, one for each network.
    """
    spent = list[Cost]()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started, before = time.perf_counter(), _together(passes)
    yield spent
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, now = time.perf_counter() - started, _together(passes)
    forwards, backwards = now.forwards - before.forwards, now.backwards - before.backwards
    spent.append(Cost(seconds, forwards, backwards, peak_mb(device)))


def _together(passes: Sequence[Passes]) -> Passes:
    return sum(passes, Passes())
