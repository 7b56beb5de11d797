"""Attacks without gradients beside foolbox's, ART's and torchattacks': what falls, and how fast.

    python benchmarks/blackbox.py --weights results/digits/cells/CELL --data-root DATA

A package attacks first, and the images that it gives to the network are counted; ours may then ask
as often about each image. Both take turns in one process with the same weights, images and thread;
times are the process's own, medians over rounds. Distances and verdicts are looked at here. Needs
foolbox 3.3, ART 1.20 and torchattacks 3.5 (``pip install foolbox adversarial-robustness-toolbox
torchattacks``), of which robench itself needs none.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.packages import (
    art_jumps,
    art_square,
    foolbox_jumps,
    required,
    torchattacks_spsa,
)
from benchmarks.victim import victim
from robench.adversary.attack import right
from robench.adversary.blackbox.hopskipjump import HopSkipJump
from robench.adversary.blackbox.spsa import SPSA
from robench.adversary.square import Square
from robench.radius import Norm
from robench.threat import Threat

Theirs = Callable[[nn.Module, Tensor, Tensor, Threat], Tensor]
Ours = Callable[[int, nn.Module, Tensor, Tensor, Threat], Tensor]
"""The same with a budget of questions about each image."""

PACKAGES = {
    "foolbox": "foolbox",
    "art": "adversarial-robustness-toolbox",
    "torchattacks": "torchattacks",
}
"""By the name they are imported by."""

SQUARES = 1000
"""Proposals of Square."""


@dataclass(frozen=True)
class Contest:
    """One attack, written by two."""

    name: str
    norm: Norm
    theirs: Theirs
    ours: Ours


@dataclass(frozen=True)
class Side:
    """What one of them came to."""

    distance: Tensor
    """Of each image, (N,); infinite where what came back is not wrong."""
    queries: int
    """Passes of an image, on average."""
    seconds: float


class Counted(nn.Module):
    """A network that counts the images it is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.count = model, 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits; ART gives it double precision at times."""
        self.count += len(x)
        return self.model(x.float())


@click.command(help=__doc__)
@click.option("--weights", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--data-root", type=click.Path(path_type=Path), envvar="ROBENCH_DATA_ROOT", required=True
)
@click.option("--images", default=30, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", default="", help="Contests whose name has this in it.")
def command(weights: Path, data_root: Path, images: int, rounds: int, only: str) -> None:
    """All contests on one cell; L2 at a quarter of the root of the number of pixels, times eps."""
    required(PACKAGES)
    torch.set_num_threads(1)
    on = victim(weights, data_root, images)
    radii = {"Linf": on.eps, "L2": on.eps * math.sqrt(on.x[0].numel()) / 4}
    click.echo(f"{weights.name}: {len(on.y)} images that it gets right, {rounds} rounds\n")
    click.echo("| attack | threat | queries | in the ball | median distance | time |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: |")
    for contest in contests():
        if only in contest.name:
            threat = Threat(contest.norm, radii[contest.norm])
            click.echo(line(contest, on.model, on.x, on.y, threat, rounds))


def line(
    contest: Contest, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, rounds: int
) -> str:
    """A row of the table: ours / theirs; time is ours over theirs, so less than 1 is faster."""
    ours, theirs = list[Side](), list[Side]()
    for number in range(rounds):
        theirs.append(played(contest.theirs, number, model, x, y, threat))
        budget = theirs[-1].queries

        def attack(*task: Any, budget: int = budget) -> Tensor:
            return contest.ours(budget, *task)

        ours.append(played(attack, number, model, x, y, threat))
    both = torch.stack([s.distance for s in ours]), torch.stack([s.distance for s in theirs])
    broken = " / ".join(f"{(side <= threat.eps + 1e-5).float().mean():.1%}" for side in both)
    median = " / ".join(f"{side.flatten().median():.3f}" for side in both)
    ratios = [one.seconds / other.seconds for one, other in zip(ours, theirs, strict=True)]
    return (
        f"| {contest.name} | {threat.norm} {threat.eps:.3g} | {ours[0].queries} / "
        f"{theirs[0].queries} | {broken} | {median} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f}-{max(ratios):.2f}) |"
    )


def played(
    attack: Theirs, seed: int, model: nn.Module, x: Tensor, y: Tensor, threat: Threat
) -> Side:
    """One run, looked at."""
    counted = Counted(model)
    torch.manual_seed(seed)
    np.random.seed(seed)  # ART draws from it
    began = time.process_time()
    x_adv = attack(counted, x, y, threat)
    seconds = time.process_time() - began
    far = threat.distance(x_adv, x).where(~right(model, x_adv, y), torch.inf)
    return Side(far, round(counted.count / len(y)), seconds)


def contests() -> Iterator[Contest]:
    """HopSkipJump looks for the nearest; the others for anything in the ball."""
    for norm in ("Linf", "L2"):
        yield Contest("HopSkipJump, foolbox", norm, foolbox_jumps, jumps)
        yield Contest("HopSkipJump, ART", norm, art_jumps, jumps)
    their_square = partial(art_square, proposals=SQUARES)  # its L2 is NaN on 8x8 images
    yield Contest("Square, ART", "Linf", their_square, square)
    yield Contest("SPSA, torchattacks", "Linf", torchattacks_spsa, spsa)


def jumps(queries: int, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """Ours, which like theirs does not stop at the ball when it has no radius."""
    near = HopSkipJump(queries=queries).nearest(model, x, y, Threat(threat.norm, 0.0))[1]
    return torch.where(near.isnan(), x, near)


def square(queries: int, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """Ours, with as many proposals as ART's at most makes."""
    return Square(queries=SQUARES)(model, x, y, threat)


def spsa(queries: int, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """Ours."""
    return SPSA(queries=queries)(model, x, y, threat)


if __name__ == "__main__":
    command()
