"""Looks for masking that are over at once, for tests that are about something else."""

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
