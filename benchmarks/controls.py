"""Flags: is everything caught that only looks robust, and nothing that is honest?

    python benchmarks/controls.py

Trains the controls of ``tests/controls.py`` and honest networks on scikit-learn's digits, attacks
them at Linf 3/16, and prints what PGD-20 says, what AutoAttack's four attacks leave one after the
other, and which flags go up. Minutes on one core. Exit code 1: for some seed a flag that a control
must raise is down, or an honest network raises one.
"""

import os

# Read when torch is imported: idle threads should sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.standard import STANDARD
from robench.errors import AttackError
from robench.evaluation.flags import FLAGS, merged, raised
from robench.evaluation.outcomes import Mask
from robench.evaluation.probes.probe import probe
from robench.evaluation.probes.read_off import read_off
from robench.seeds import derive
from robench.training.method import method
from robench.training.recipes import RECIPES
from tests import controls
from tests.controls import CONTROLS, THREAT, Control

PGD_20: Mapping[str, Attack] = {"pgd-20": PGDAttack(pgd=PGD(steps=20))}

COLUMNS = ("natural", *PGD_20, *STANDARD)

PROBED = 64
"""Images that the probes are given, the first."""


HONEST = ("natural", "madry", "trades")
"""Methods, trained here as ``robench run`` trains them."""


def honest(name: str) -> nn.Module:
    """The last checkpoint of a method with the digits' own recipe."""
    recipe = replace(RECIPES["digits"], validate_every=RECIPES["digits"].epochs)
    return controls.fitted(method(name), controls.digitscnn, controls.digits(), recipe, THREAT)


@dataclass(frozen=True)
class Row:
    """What was found of one network."""

    name: str
    accuracy: Mapping[str, float | None]
    """By attack; none where it failed."""
    up: Mapping[str, int]
    """Flags that went up, and for how many seeds."""
    missing: frozenset[str]
    unexpected: frozenset[str]
    seconds: float


def cascade(
    model: nn.Module, x: Tensor, y: Tensor, attacks: Mapping[str, Attack]
) -> Iterator[tuple[str, Mask]]:
    """What stands naturally and after each attack and all before it, until one fails."""
    stands = right(model, x, y)
    yield "natural", stands.numpy().copy()
    for name, attack in attacks.items():
        todo = stands.nonzero().squeeze(1)
        if len(todo):
            try:
                x_adv = attempt(name, attack, model, x[todo], y[todo], THREAT, derive(0, name))
            except AttackError:
                return
            stands[todo] = right(model, x_adv, y[todo])
        yield name, stands.numpy().copy()


def examined(name: str, control: Control, images: int, seeds: int) -> Row:
    """One network's row of the table."""
    test, model, started = controls.digits().test.first(images), control.make(), time.time()
    x, y = test.x(), test.y
    suite = dict(cascade(model, x, y, STANDARD))
    single = dict(cascade(model, x, y, PGD_20))
    ups = [
        raised(merged(probe(model, x[:PROBED], y[:PROBED], THREAT, seed), read_off(suite)))
        for seed in range(seeds)
    ]
    counts = Counter(flag for up in ups for flag in up)
    return Row(
        name,
        {key: float(mask.mean()) for key, mask in (single | suite).items()},
        {flag: counts[flag] for flag in FLAGS if flag in counts},
        frozenset(flag for flag in control.flags if counts[flag] < seeds),
        frozenset(() if control.flags else counts),
        time.time() - started,
    )


def table(rows: list[Row], seeds: int) -> Table:
    """For a terminal."""
    shown = Table(box=None, title_justify="left", header_style="bold")
    shown.add_column("network")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    shown.add_column("flags that are up")
    for row in rows:
        numbers = [row.accuracy.get(column) for column in COLUMNS]
        flags = [f + f" ({n} of {seeds} seeds)" * (n < seeds) for f, n in row.up.items()]
        flags += [f"MISSING {flag}" for flag in sorted(row.missing)]
        flags += ["NOT EXPECTED"] * bool(row.unexpected)
        cells = ["fails" if number is None else f"{100 * number:.0f}" for number in numbers]
        shown.add_row(row.name, *cells, ", ".join(flags) or "-")
    return shown


@click.command()
@click.option("--images", default=100, show_default=True, help="Test images that are attacked.")
@click.option("--seeds", default=3, show_default=True, help="Seeds of the probes.")
def main(images: int, seeds: int) -> None:
    """Print the table of controls and honest networks."""
    torch.set_num_threads(1)
    progress, rows = Console(stderr=True), list[Row]()
    fair = {name: Control(partial(honest, name), frozenset()) for name in HONEST}
    for name, control in {**fair, **CONTROLS}.items():
        rows.append(examined(name, control, images, seeds))
        progress.print(f"{name}: {rows[-1].seconds:.0f} s")
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(rows, seeds))
    console.print(f"Per cent of {images} test images that stand; fails: no gradient to follow.")
    sys.exit(any(row.missing or row.unexpected for row in rows))


if __name__ == "__main__":
    main()
