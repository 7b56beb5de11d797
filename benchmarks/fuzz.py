"""Whatever robench is given, its answer is an exit code of 0, 1 or 2 and a clear line.

    python benchmarks/fuzz.py --examples 10000

Tries mutated command lines, grid files, results folders and plugin files in this process, and
prints how often each exit code came. Exit code 1: something else happened; the smallest example
of it is printed, and the same seed finds it again.
"""

import os

# Read when torch is imported: idle threads should sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections import Counter

import click
import torch
import torchvision  # noqa: F401 - what takes long to import is no example's fault
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyFailure

from tests.fuzz.sandbox import base
from tests.fuzz.targets import TARGETS, Target


def tried(target: Target, examples: int, start: int) -> tuple[Counter[int], list[str]]:
    """Exit codes of so many examples, and the smallest example of each fault."""
    codes, faults = Counter[int](), list[str]()

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(target.examples)
    def attempt(example: object) -> None:
        try:
            codes[target.attempt(example)] += 1
        except AssertionError as fault:
            raise AssertionError(f"{fault}\nexample: {example!r}"[-6000:]) from None

    try:
        attempt()
    except (AssertionError, FlakyFailure) as error:
        faults.append(str(error))
    return codes, faults


@click.command()
@click.option("--examples", default=1000, show_default=True, help="Of all targets together.")
@click.option("--seed", "start", default=0, show_default=True, help="Other examples.")
@click.option("--target", type=click.Choice(list(TARGETS)), help="This one alone.")
def main(examples: int, start: int, target: str | None) -> None:
    """Try examples and count exit codes."""
    torch.set_num_threads(1)
    base()
    chosen = {target: TARGETS[target]} if target else TARGETS
    shares, failed, all_of_them = sum(one.share for one in chosen.values()), False, 0
    for name, one in chosen.items():
        began = time.perf_counter()
        codes, faults = tried(one, max(1, examples * one.share // shares), start)
        all_of_them += sum(codes.values())
        counts = ", ".join(f"{code}: {n}" for code, n in sorted(codes.items()))
        took = time.perf_counter() - began
        click.echo(
            f"{name:<9} {sum(codes.values()):>6} examples, exit codes {counts} ({took:.0f} s)"
        )
        for fault in faults:
            click.echo(f"FAULT (--target {name} --seed {start})\n{fault}")
        failed = failed or bool(faults)
    click.echo(f"{all_of_them} examples, {'faults: see above' if failed else 'no fault'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
