"""Looks for masking, and for costs, that are over at once: for tests of something else."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.square import Square
from robench.evaluation.probes import attacks

_SHORT: dict[str, Any] = {
    "STEPS": 2,
    "BEFORE": APGD(steps=2),
    "AFTER": TargetedAPGD(targets=1, steps=2),
    "SQUARE": Square(queries=5),
    "LADDER": APGD(steps=2),
    "STRAIGHT": PGDAttack(pgd=PGD(steps=2, start="none"), loss="margin"),
}


@contextlib.contextmanager
def quickly_probed() -> Iterator[None]:
    """While it holds, probes take a few steps each."""
    with mock.patch.multiple(attacks, **_SHORT):
        yield


@contextlib.contextmanager
def unpriced() -> Iterator[None]:
    """While it holds, plans say what runs and not what it costs."""
    with mock.patch("robench.cli.forecasted.costs", return_value=()):
        yield
