"""AutoAttack's versions, written by us: what a suite must hold to call its verdict so."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.attack import Attack
from robench.adversary.fab import TargetedFAB
from robench.adversary.packages import AutoAttack
from robench.adversary.sparse import SparseAPGD, TargetedSparseAPGD
from robench.adversary.square import Square

STANDARD: Mapping[str, Attack] = {
    "apgd-ce": APGD(),
    "apgd-t": TargetedAPGD(),
    "fab-t": TargetedFAB(),
    "square": Square(),
}
"""The standard version with its published budgets, which are the classes' defaults.

Croce & Hein 2020, arXiv:2003.01690: 100 steps, 9 targets, 5,000 queries, one restart each.
"""

STANDARD_L1: Mapping[str, Attack] = {
    "apgd-ce": SparseAPGD(),
    "apgd-t": TargetedSparseAPGD(),
    "fab-t": TargetedFAB(),
    "square": Square(),
}
"""The same in L1 (Croce & Hein 2021, arXiv:2103.01208): 5 restarts of apgd-ce, 5 targets of apgd-t.
"""

RAND: Mapping[str, Attack] = {
    "apgd-ce": APGD(draws=20),
    "apgd-dlr": APGD(loss="dlr", draws=20),
}
"""The version for stochastic models: gradients are averaged over 20 draws."""

RAND_L1: Mapping[str, Attack] = {
    "apgd-ce": SparseAPGD(restarts=1, draws=20),
    "apgd-dlr": SparseAPGD(loss="dlr", restarts=1, draws=20),
}
"""The same in L1; the authors' code has no larger radii here, ours has them as in its standard."""

_BUDGET = ("steps", "restarts", "targets", "queries", "draws")
"""Settings of which more is at least as strong."""


def holds(attacks: Iterable[Attack], wanted: Mapping[str, Attack]) -> bool:
    """Whether every wanted attack is there, with its budget or more, ours or the package's."""
    there = list(attacks)
    return all(any(_covers(a, name, least) for a in there) for name, least in wanted.items())


def _covers(attack: Attack, name: str, least: Attack) -> bool:
    if type(attack) is AutoAttack:
        return attack.component == name
    if type(attack) is not type(least):
        return False
    ours = {f.name: (getattr(attack, f.name), getattr(least, f.name)) for f in fields(least)}  # type: ignore[arg-type]
    return all(a >= b if name in _BUDGET else a == b for name, (a, b) in ours.items())
