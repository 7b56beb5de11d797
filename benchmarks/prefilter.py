"""Prefilters: does a cheap attack in front of AutoAttack's four pay for itself?

    python benchmarks/prefilter.py results/unseen/cells/madry-digits-digitscnn-s0-... --rounds 3

Attacks each cell's network, and networks that only look robust, by the suite as it is and with a
prefilter in front of it, in turns and with the same seeds. Prints passes of an image and seconds of
the process as ratios to the suite alone, medians over rounds, and verdicts that differ. A prefilter
costs every image that stands its whole budget; it can only save on images that fall to a later
attack than it falls to itself.
"""

import os

# Read when torch is imported: idle threads should sleep, and one core is what is measured.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.hunt import Hunt, likeliest
from robench.adversary.losses import margin
from robench.adversary.pgd import PGD, PGDAttack, ascend
from robench.adversary.standard import STANDARD
from robench.models.passes import counted
from robench.models.prepared import prepared
from robench.reopen import reopen
from robench.store.records import CellFolder
from robench.threat import Threat
from robench.training.method import method
from robench.training.recipes import RECIPES
from tests import controls

BATCH = 250


@dataclass(frozen=True, kw_only=True)
class MM:
    """Margins to the likeliest classes, one after the other (MM attack, Gao et al. 2022)."""

    targets: int = 5
    pgd: PGD = field(default_factory=lambda: PGD(steps=20))

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrong where a target was reached."""
        hunt = Hunt(x, threat)
        with torch.no_grad():
            targets = likeliest(model(x), y, self.targets)
        for target in targets:
            hunt.go(partial(self._try, model), x, y, target)
        return hunt.x_adv

    def _try(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor]:
        fell = torch.zeros_like(y, dtype=torch.bool)

        def halt(logits: Tensor, values: Tensor, step: int) -> Tensor:
            fell.logical_or_(logits.argmax(1) != y)
            return fell

        def towards(logits: Tensor, pair: Tensor) -> Tensor:
            return (logits.gather(1, pair[:, 1:]) - logits.gather(1, pair[:, :1])).squeeze(1)

        pair = torch.stack([y, target], 1)
        return self.pgd(model, x, pair, threat, towards, halt), fell


@dataclass(frozen=True, kw_only=True)
class DiverseStart:
    """The margin from diverse starts, on which A3 builds (Liu et al. 2022, 2203.05154)."""

    restarts: int = 3
    away: int = 7
    """Steps along a random direction of the logits."""
    steps: int = 15

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Images (B, C, H, W), wrong where a way was found."""
        hunt = Hunt(x, threat)
        for _ in range(self.restarts):
            hunt.go(partial(self._try, model), x, y)
        return hunt.x_adv

    def _try(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
        fell = torch.zeros_like(y, dtype=torch.bool)
        drawn: list[Tensor] = []

        def any_way(logits: Tensor) -> Tensor:
            if not drawn:
                drawn.append(2 * torch.rand_like(logits) - 1)
            return (logits * drawn[0]).sum(1)

        def halt(logits: Tensor, values: Tensor, step: int) -> Tensor:
            fell.logical_or_(logits.argmax(1) != y)
            return fell

        start = ascend(
            model, x, threat.random_start(x), any_way, threat, steps=self.away, size=threat.eps
        )
        found = ascend(
            model, x, start, lambda logits: margin(logits, y), threat,
            steps=self.steps, size=threat.eps / 4, halt=halt,
        )  # fmt: skip
        return found, fell


PREFILTERS: Mapping[str, Attack] = {
    "pgd-20-margin": PGDAttack(pgd=PGD(steps=20), loss="margin"),
    "mm5": MM(),
    "diverse-start": DiverseStart(),
}


@dataclass(frozen=True)
class Ran:
    """One cascade."""

    stands: Tensor
    passes: float
    """Of an image, forward and backward together."""
    seconds: float


@dataclass(frozen=True)
class Subject:
    """A network and the images it is attacked on."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor
    threat: Threat


def ran(attacks: Mapping[str, Attack], on: Subject, seed: int) -> Ran:
    """What stands after attacks in order, each on what those before it left."""
    model, x, y, threat = on.model, on.x, on.y, on.threat
    fast, began = prepared(model, x[:8]), time.process_time()
    with counted(fast) as passes:
        stands = right(model, x, y)
        for name, attack in attacks.items():
            for todo in stands.nonzero().squeeze(1).split(BATCH) if stands.any() else ():
                x_adv = attempt(name, attack, fast, x[todo], y[todo], threat, seed)
                stands[todo] = right(model, x_adv, y[todo])
    spent = (passes.forwards + passes.backwards) / len(x)
    return Ran(stands, spent, time.process_time() - began)


def networks(cells: tuple[Path, ...], data_root: Path) -> Iterator[Subject]:
    """Cells as they were trained, then two controls whose cross-entropy leads nowhere."""
    for cell in cells:
        found = reopen(CellFolder(cell), "best", data_root, torch.device("cpu"), test_limit=100)
        name = f"{found.label}, {found.identity['dataset']}"
        yield Subject(name, found.model, found.data.test.x(), found.data.test.y, found.threat)
    digits = controls.digits()
    recipe = replace(RECIPES["digits"], validate_every=RECIPES["digits"].epochs)
    honest = controls.fitted(
        method("madry"), controls.digitscnn, digits, recipe, controls.THREAT
    ).eval()
    x, y = digits.test.x(slice(0, 100)), digits.test.y[:100]
    for name, scale in (("control: logits x 10,000", 1e4), ("control: logits x 100", 1e2)):
        yield Subject(name, Scaled(honest, scale), x, y, controls.THREAT)


class Scaled(nn.Module):
    """Logits times a number: their cross-entropy saturates."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.scale * self.model(x)


@click.command()
@click.argument("cells", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, help="Seeds, each a run of every way.")
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data"))
def main(cells: tuple[Path, ...], rounds: int, data_root: Path) -> None:
    """Print a table: a network a row, a prefilter a column group."""
    torch.set_num_threads(1)
    table = Table("network", "stand", *PREFILTERS)
    for on in networks(cells, data_root):
        found: dict[str, list[Ran]] = {way: [] for way in ("", *PREFILTERS)}
        for seed in range(rounds):
            for way, runs in found.items():
                before = {way: PREFILTERS[way]} if way else {}
                runs.append(ran({**before, **STANDARD}, on, seed))
        alone = found.pop("")
        said = [_said(alone, runs) for runs in found.values()]
        table.add_row(on.name, f"{int(alone[0].stands.sum())}/{len(on.x)}", *said)
        Console(width=160).print(on.name, *said, sep="; ")
    Console(width=160).print(table)


def _said(alone: list[Ran], runs: list[Ran]) -> str:
    passes = median(b.passes / a.passes for a, b in zip(alone, runs, strict=True))
    seconds = median(b.seconds / a.seconds for a, b in zip(alone, runs, strict=True))
    differ = sum(int((a.stands != b.stands).sum()) for a, b in zip(alone, runs, strict=True))
    return f"passes {passes:.2f}x, seconds {seconds:.2f}x, differ {differ}"


if __name__ == "__main__":
    main()
