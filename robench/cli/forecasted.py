"""What a plan will cost, in words."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import torch
from rich.filesize import decimal

from robench.analysis.standing import duration
from robench.cli.echo import echo
from robench.cli.options import width
from robench.device import peak_mb
from robench.forecast.grid import Cost, costs
from robench.left import Rerun
from robench.plan import Plan


def forecast(plan: Plan, results: Path, rerun: Rerun, jobs: int, device: torch.device) -> None:
    """Time, memory and disk of all that is left, from a short probe of what is new in it."""
    base = 0.0 if device.type == "cuda" else 2**20 * peak_mb(device)  # Python, torch, the data
    for label, text in _in_words(list(costs(plan, results, rerun)), jobs, base):
        echo(click.wrap_text(text, width(), f"{label:<9} ", " " * 10))


def _in_words(found: Sequence[Cost], jobs: int, base: float) -> Iterator[tuple[str, str]]:
    if not found:
        yield "time", "nothing is left to be done"
        return
    longest = max(found, key=lambda cost: cost.seconds)
    everything = sum(cost.seconds for cost in found)
    whole = max(longest.seconds, everything / max(jobs, 1))
    yield "time", f"about {duration(whole)}" + f" with {jobs} jobs" * (jobs > 1)
    if training := sum(cost.training for cost in found):
        yield "", f"training {duration(training)}"
    if most := sum(cost.most for cost in found):
        attacks, least = sum(cost.attacks for cost in found), sum(cost.least for cost in found)
        share = (attacks - least) / max(most - least, 1e-9)
        yield (
            "",
            f"attacks {duration(attacks)} if {share:.0%} of the images stand, {duration(least)} "
            f"if none, {duration(most)} if all",
        )
    if len(found) > 1:
        yield "longest", f"{longest.label}: {duration(longest.seconds)}"
    if training:
        weights, state = sum(cost.weights for cost in found), max(cost.state for cost in found)
        memory = base + max(cost.memory for cost in found)
        yield "memory", f"about {decimal(int(memory))} a job"
        yield (
            "disk",
            f"{decimal(int(weights))} of weights, and {decimal(int(state))} while a cell trains",
        )
    for text in dict.fromkeys(text for cost in found for text in cost.unknown):
        yield "without", text
