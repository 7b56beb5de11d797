"""Intervals and tests on made-up outcomes: how often they hold the truth, and find what is not.

    python benchmarks/simulated.py

Draws test images and trainings again and again, with accuracies that are known, and prints how
often 95 % intervals hold them and how often tests at 5 % tell apart what is equal. An image is as
hard for all networks as its own normal number says, plus noise of each network and a level of each
training. Minutes on one core, no file. Exit code 1: an interval holds the truth in less than 90 %
of the draws, or a test errs in more than 5 % and two standard errors, where that is not known.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.stats import binom, norm, rankdata

from robench.analysis.bootstrap import bootstrapped
from robench.analysis.comparisons import LEVEL, holm
from robench.analysis.differences import Outcome, paired
from robench.analysis.friedman import critical, omnibus
from robench.analysis.mcnemar import discordant, mcnemar
from robench.intervals import wilson

NOISE = 0.4
"""Of a network on an image, where 1 is how much images differ."""

LEVELS = {"none": 0.0, "1 point": 0.027, "3 points": 0.081}
"""How much trainings differ, as a standard deviation: in accuracy near 50 %, and of the level."""

TABLE = 10
"""Methods of a table, and its pairs."""

PAIRS = list(combinations(range(TABLE), 2))

Random = np.random.Generator


@dataclass(frozen=True)
class Row:
    """One line of the table: a share of draws, and what it should be."""

    what: str
    setting: str
    share: float
    draws: int
    fine: bool
    """Whether it is what its name promises."""
    known: bool = False
    """Whether it is no surprise that it is not."""


def level_of(share: float, spread: float) -> float:
    """The level at which a share of images stands, over all images and trainings."""
    return float(norm.ppf(share) * (1 + NOISE**2 + spread**2) ** 0.5)


def trained(random: Random, hard: npt.NDArray[np.float64], share: float, spread: float) -> Outcome:
    """Which images stand with one training of a method that makes a share of them stand."""
    level = level_of(share, spread) + spread * random.standard_normal()
    found: Outcome = hard + NOISE * random.standard_normal(len(hard)) < level
    return found


def methods(
    random: Random, shares: tuple[float, ...], images: int, seeds: int, spread: float
) -> list[list[Outcome]]:
    """Of each method the outcomes of its trainings, all on the same new images."""
    hard = random.standard_normal(images)
    return [[trained(random, hard, s, spread) for _ in range(seeds)] for s in shares]


def wilsons(random: Random, draws: int) -> Iterator[Row]:
    """Exact: every count that there can be, by its chance."""
    for n, p in product((50, 360, 1000), (0.02, 0.1, 0.5, 0.9)):
        counts = np.arange(n + 1)
        held = [low <= p <= high for low, high in (wilson(int(k), n) for k in counts)]
        share = float(binom.pmf(counts, n, p)[held].sum())
        yield Row("Wilson holds", f"{n} images, accuracy {p}", share, 0, share >= 0.9)


def differences(random: Random, draws: int) -> Iterator[Row]:
    """Of two methods 50 and 55 % robust."""
    ways = {"paired": paired, "bootstrapped": bootstrapped}
    places = [(1, "none"), (1, "3 points"), (3, "none"), (3, "1 point"), (3, "3 points"),
              (10, "3 points")]  # fmt: skip
    for seeds, level in places:
        held = dict.fromkeys(ways, 0)
        for _ in range(draws):
            ours, theirs = methods(random, (0.55, 0.5), 360, seeds, LEVELS[level])
            for name, way in ways.items():
                found = way(ours, theirs)
                held[name] += found.low <= 0.05 <= found.high
        for name, count in held.items():
            share = count / draws
            known = (seeds == 1 and level != "none") or (name == "bootstrapped" and seeds == 3)
            setting = f"360 images, {_seeds(seeds)}, trainings differ by {level}"
            yield Row(f"{name} holds", setting, share, draws, share >= 0.9, known)


def mcnemars(random: Random, draws: int) -> Iterator[Row]:
    """Of ten methods that are equal: any one pair, any pair of the table, and after Holm."""
    for seeds, level in product((1, 3), LEVELS):
        one = some = corrected = surely = 0
        for _ in range(draws):
            every = methods(random, (0.5,) * TABLE, 1000, seeds, LEVELS[level])
            raw = together(every)
            one += raw[0] < LEVEL
            some += min(raw) < LEVEL
            told = [pair for pair, p in zip(PAIRS, holm(raw), strict=True) if p < LEVEL]
            corrected += bool(told)
            surely += any(_without_zero(every[i], every[j]) for i, j in told)
        setting = f"1000 images, {_seeds(seeds)}, trainings differ by {level}"
        differ = level != "none"
        for what, count, known in (
            ("McNemar, one pair, errs", one, differ),
            ("McNemar, any of 45 pairs, errs", some, True),
            ("McNemar after Holm, any of 45 pairs, errs", corrected, differ),
            ("the same, and no zero in its interval", surely, differ),
        ):
            yield Row(what, setting, count / draws, draws, _few(count, draws), known)


def together(every: list[list[Outcome]]) -> list[float]:
    """The p of each pair: the largest of its seeds, and 1 where they do not agree who is ahead."""
    chances, ahead = [], []
    for seed in range(len(every[0])):
        only = discordant(np.stack([of_method[seed] for of_method in every]))
        chances.append(mcnemar(only, only.T))
        ahead.append(np.sign(only - only.T))
    agree = (np.stack(ahead) == ahead[0]).all(0)
    p = np.where(agree, np.stack(chances).max(0), 1.0)
    return [float(p[pair]) for pair in PAIRS]


def ranks(random: Random, draws: int) -> Iterator[Row]:
    """Of methods that are equal, with accuracies in whole per cent, so that there are ties."""
    for methods_, places in product((3, 10), (2, 5, 10)):
        apart, all_equal, told = critical(methods_, places), 0, 0
        for _ in range(draws):
            accuracies = random.binomial(100, 0.5, (places, methods_)) / 100
            all_equal += omnibus(accuracies)[1] < LEVEL
            told += np.ptp(rankdata(-accuracies, axis=1).mean(0)) > apart
        setting = f"{methods_} methods, {places} data sets"
        for what, count in (("Friedman errs", all_equal), ("Nemenyi, any pair, errs", told)):
            yield Row(what, setting, count / draws, draws, _few(count, draws))


PARTS: tuple[tuple[Callable[[Random, int], Iterator[Row]], int], ...] = (
    (wilsons, 0), (differences, 500), (mcnemars, 200), (ranks, 2000),
)  # fmt: skip
"""What is drawn, and how often."""


def table(rows: list[Row]) -> Table:
    """For a terminal; the number behind a share is twice its standard error."""
    shown = Table(box=None, title_justify="left", header_style="bold")
    for column in ("what", "setting", "per cent", ""):
        shown.add_column(column, justify="right" if column == "per cent" else "left")
    for row in rows:
        error = 2 * (row.share * (1 - row.share) / row.draws) ** 0.5 if row.draws else 0.0
        text = f"{100 * row.share:.1f}" + f" ± {100 * error:.1f}" * bool(row.draws)
        remark = "" if row.fine else "as known" if row.known else "NOT AS PROMISED"
        shown.add_row(row.what, row.setting, text, remark)
    return shown


def _few(errors: int, draws: int) -> bool:
    """Whether no more than a test at 5 % may have."""
    return errors <= draws * LEVEL + 2 * (draws * LEVEL * (1 - LEVEL)) ** 0.5


def _without_zero(ours: list[Outcome], theirs: list[Outcome]) -> bool:
    found = paired(ours, theirs)
    return found.low > 0 or found.high < 0


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


@click.command()
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@click.option("--times", default=1.0, show_default=True, help="As many draws.")
def main(seed: int, times: float) -> None:
    """Print how often intervals hold the truth and tests err."""
    random, rows = np.random.default_rng(seed), list[Row]()
    progress = Console(stderr=True)
    for part, draws in PARTS:
        rows += part(random, max(1, round(times * draws)))
        progress.print(f"{part.__name__}: done")
    Console(width=None if sys.stdout.isatty() else 140).print(table(rows))
    sys.exit(any(not row.fine and not row.known for row in rows))


if __name__ == "__main__":
    main()
