"""Attack a trained classifier with a suite: an outcome for every image, a cost for every attack."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.adversary.suite import Suite
from robench.data.load import Images
from robench.device import full_precision
from robench.evaluation.outcomes import Outcomes
from robench.models.passes import Passes, counted
from robench.seeds import derive
from robench.threat import Threat

CHUNK = 250
"""Images attacked at once. What an attack draws depends on it, so it is part of the protocol."""

After = Callable[[str, int, int], None]
"""Called after each attack on each chunk with its name, how many stand, how many were seen."""


@dataclass(frozen=True)
class Cost:
    """What one attack spent."""

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


def evaluate(
    model: nn.Module, suite: Suite, images: Images, threat: Threat, seed: int, after: After
) -> tuple[Outcomes, dict[str, Cost]]:
    """Run a suite on all images, in float32.

    Raises:
        AttackError: an attack failed or broke the rules; no accuracy comes of it.
    """
    names = ["natural", *suite.attacks]
    masks: dict[str, list[Tensor]] = {name: [] for name in names}
    costs = {name: Cost() for name in names}
    with full_precision(), counted(model) as passes:
        for start in range(0, len(images), CHUNK):
            index = slice(start, start + CHUNK)
            x, y = images.x(index), images.y[index]
            steps = suite.run(model, x, y, threat, derive(seed, start))
            for name, stands, cost in _measured(steps, passes, x.device):
                masks[name].append(stands)
                costs[name] += cost
                seen = min(start + CHUNK, len(images))
                after(name, sum(int(mask.sum()) for mask in masks[name]), seen)
    outcomes = Outcomes(
        {name: torch.cat(parts).numpy() for name, parts in masks.items()},
        images.y.cpu().numpy(),
        images.origin.cpu().numpy(),
    )
    return outcomes, costs


def _measured(
    steps: Iterator[tuple[str, Tensor]], passes: Passes, device: torch.device
) -> Iterator[tuple[str, Tensor, Cost]]:
    """Each of a suite's steps with what it spent."""
    while True:
        started, forwards, backwards = time.perf_counter(), passes.forwards, passes.backwards
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        step = next(steps, None)
        if step is None:
            return
        name, stands = step[0], step[1].cpu()  # waits for the device
        yield (
            name,
            stands,
            Cost(
                time.perf_counter() - started,
                passes.forwards - forwards,
                passes.backwards - backwards,
                _peak_mb(device),
            ),
        )


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
