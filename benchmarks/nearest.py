"""Minimum-norm attacks beside those of foolbox and adv-lib: how near, how fast.

    python benchmarks/nearest.py --weights results/digits/cells/CELL --data-root DATA

Both sides attack the same network and images with the same steps and thread, and take turns in one
process; times are the process's own, medians over rounds. Distances are measured here, on images
that the network gets wrong; what a package returns in vain counts as not found. Needs foolbox 3.3
and adv-lib 0.2.8 (``pip install foolbox adv-lib visdom``), which robench itself does not.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from benchmarks.packages import P, required
from benchmarks.victim import victim
from robench.adversary.nearest.carlini import CarliniWagner
from robench.adversary.nearest.ddn import DDN
from robench.adversary.nearest.deepfool import DeepFool
from robench.adversary.nearest.fmn import FMN
from robench.adversary.nearest.nearest import MinimumNorm, Nearness, distance
from robench.adversary.nearest.pdpgd import PDPGD
from robench.adversary.nearest.sigma import SigmaZero
from robench.models.frozen import frozen

Run = Callable[[nn.Module, Tensor, Tensor], Tensor]
PACKAGES = {"foolbox": "foolbox", "adv_lib": "adv-lib", "visdom": "visdom"}
"""By the name they are imported by; adv-lib imports visdom, whose plots are not asked for here."""


@dataclass(frozen=True)
class Contest:
    """One attack, written by two."""

    name: str
    norm: Nearness
    budget: str
    peer: str
    ours: MinimumNorm
    theirs: Run


@dataclass(frozen=True)
class Side:
    """What one of them came to."""

    seconds: float
    length: Tensor
    """Distance of each image, (N,); inf where none was found."""

    @property
    def median(self) -> float:
        """Of all images; inf where fewer than half were broken."""
        return float(self.length.double().quantile(0.5, interpolation="higher"))


@click.command(help=__doc__)
@click.option("--weights", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--data-root", type=click.Path(path_type=Path), envvar="ROBENCH_DATA_ROOT", required=True
)
@click.option("--images", default=100, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", default="", help="Attacks whose name has this in it.")
def command(weights: Path, data_root: Path, images: int, rounds: int, only: str) -> None:
    """All contests on one cell."""
    required(PACKAGES)
    torch.set_num_threads(1)
    on = victim(weights, data_root, images)
    click.echo(f"{weights.name}: {len(on.y)} images that it gets right, {rounds} rounds\n")
    click.echo("| attack | norm | budget | against | found | median | nearer or 1 % | time |")
    click.echo("| --- | --- | --- | --- | ---: | ---: | ---: | ---: |")
    with frozen(on.model):
        for contest in contests():
            if only in contest.name:
                click.echo(line(contest, on.model, on.x, on.y, rounds))


def line(contest: Contest, model: nn.Module, x: Tensor, y: Tensor, rounds: int) -> str:
    """A row of the table: ours / theirs; time is ours over theirs, so less than 1 is faster."""
    ours, theirs = list[Side](), list[Side]()
    for number in range(rounds):
        torch.manual_seed(number)
        ours.append(timed(lambda: contest.ours(model, x, y, contest.norm), contest, model, x, y))
        theirs.append(timed(lambda: contest.theirs(model, x, y), contest, model, x, y))
    near = (ours[0].length <= 1.01 * theirs[0].length).float().mean().item()
    ratios = [one.seconds / other.seconds for one, other in zip(ours, theirs, strict=True)]
    found = " / ".join(f"{side[0].length.isfinite().float().mean():.0%}" for side in (ours, theirs))
    medians = " / ".join(f"{side[0].median:.4g}" for side in (ours, theirs))
    seconds = statistics.median(side.seconds for side in ours)
    return (
        f"| {contest.name} | {contest.norm} | {contest.budget} | {contest.peer} | {found} "
        f"| {medians} | {near:.0%} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f}-{max(ratios):.2f}), {seconds:.1f} s |"
    )


def timed(
    run: Callable[[], Tensor], contest: Contest, model: nn.Module, x: Tensor, y: Tensor
) -> Side:
    """Seconds, and how far the images are that the network really gets wrong."""
    began = time.process_time()
    x_adv = run()
    seconds = time.process_time() - began
    with torch.no_grad():
        wrong = model(x_adv.clamp(0, 1)).argmax(1) != y
    return Side(seconds, torch.where(wrong, distance(x_adv, x, contest.norm), math.inf))


def contests() -> Iterator[Contest]:
    """Every attack that a package has as well."""
    fb, al = import_module("foolbox.attacks"), import_module("adv_lib.attacks")
    deepfools: dict[Nearness, Any] = {"L2": fb.L2DeepFoolAttack, "Linf": fb.LinfDeepFoolAttack}
    for norm, deepfool in deepfools.items():
        theirs = foolbox(deepfool(steps=50, candidates=10))
        yield Contest("DeepFool", norm, "50", "foolbox", DeepFool(), theirs)
    yield Contest("DDN", "L2", "100", "foolbox", DDN(), foolbox(fb.DDNAttack(steps=100)))
    yield Contest("DDN", "L2", "100", "adv-lib", DDN(), peer(al.ddn, steps=100, levels=None))
    cw = CarliniWagner(searches=6, steps=200, size=0.05)
    theirs = foolbox(fb.L2CarliniWagnerAttack(binary_search_steps=6, steps=200, stepsize=0.05))
    yield Contest("C&W", "L2", "6 x 200", "foolbox", cw, theirs)
    theirs = peer(
        al.carlini_wagner_l2, binary_search_steps=6, max_iterations=200, learning_rate=0.05
    )
    yield Contest("C&W", "L2", "6 x 200", "adv-lib", cw, theirs)
    classes: dict[Nearness, Any] = {
        "Linf": fb.LInfFMNAttack, "L2": fb.L2FMNAttack, "L1": fb.L1FMNAttack, "L0": fb.L0FMNAttack,
    }  # fmt: skip
    for norm, fmn in classes.items():
        yield Contest("FMN", norm, "100", "foolbox", FMN(), foolbox(fmn(steps=100)))
        yield Contest("FMN", norm, "100", "adv-lib", FMN(), peer(al.fmn, norm=P[norm], steps=100))
    for norm in classes:
        prox = {"proximal_operator": 23} if norm == "L0" else {}
        theirs = peer(al.pdpgd, norm=P[norm], num_steps=200, **prox)
        yield Contest("PDPGD", norm, "200", "adv-lib", PDPGD(steps=200), theirs)
    theirs = peer(al.sigma_zero, num_steps=200)
    yield Contest("sigma-zero", "L0", "200", "adv-lib", SigmaZero(steps=200), theirs)


def foolbox(attack: Any) -> Run:
    """One of foolbox's attacks, without a radius."""
    wrapper = import_module("foolbox").PyTorchModel

    def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        wrapped = wrapper(model, bounds=(0, 1), device=x.device)
        return attack(wrapped, x, y, epsilons=None)[0]

    return run


def peer(attack: Any, **settings: Any) -> Run:
    """One of adv-lib's attacks."""
    return lambda model, x, y: attack(model, x, y, **settings)


if __name__ == "__main__":
    command()
