"""Evaluations that two cells have in common, image by image."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from robench.analysis.mcnemar import discordant, mcnemar
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes
from robench.evaluation.stored import is_of, read_evaluation, read_outcomes
from robench.settings import Plain
from robench.store.files import digest
from robench.store.records import CellFolder

_PLACE = ("checkpoint", "suite", "norm", "eps")

Found = tuple[Path, Plain]
"""An evaluation's record, and where it is."""


@dataclass(frozen=True)
class Paired:
    """An evaluation that both have."""

    name: str
    note: str
    """Why it cannot be compared, or what to know of it; empty: nothing."""
    n: int = 0
    """0: the two did not look at the same test images."""
    natural: tuple[float, float] = (0.0, 0.0)
    robust: tuple[float, float] = (0.0, 0.0)
    only: tuple[int, int] = (0, 0)
    """Images that stand in the first cell only, and in the second only."""
    p: float = 1.0
    """McNemar's exact test on them, two-sided; one test, whatever number of them is made."""
    is_equal: bool = False
    """Every image comes to the same in both, unperturbed and attacked."""


@dataclass(frozen=True)
class Pairs:
    """What two cells were evaluated by."""

    paired: tuple[Paired, ...]
    alone: tuple[int, int]
    """Evaluations that only the first, and only the second of them has."""
    problems: tuple[str, ...]
    """Files that cannot be trusted."""


def pairs(one: tuple[CellFolder, Plain], other: tuple[CellFolder, Plain]) -> Pairs:
    """Of two cells with their records: robust accuracies in the same place, on the same images."""
    problems: list[str] = []
    ours, theirs = _evaluations(*one, problems), _evaluations(*other, problems)
    same_data = _data(one[1]) == _data(other[1])
    paired, alone = list[Paired](), 0
    for found in ours:
        beside = _beside(found[1], theirs)
        if beside is None:
            alone += 1
            continue
        theirs.remove(beside)
        try:
            paired.append(_paired(found, beside, same_data=same_data))
        except StoreError as error:
            problems.append(str(error))
    return Pairs(tuple(paired), (alone, len(theirs)), tuple(problems))


def _data(record: Plain) -> tuple[str, str]:
    return record["identity"]["dataset"], record["identity"]["data"]


def _evaluations(folder: CellFolder, cell: Plain, problems: list[str]) -> list[Found]:
    """Those with a robust accuracy, of the weights that the cell has."""
    found = []
    for path in folder.evaluations() if cell["status"] == "ok" else []:
        try:
            record = read_evaluation(path)
        except StoreError as error:
            problems.append(str(error))
            continue
        if record["status"] == "ok" and record["verdict"] != "none" and is_of(record, cell):
            found.append((path, record))
    return sorted(found, key=_in_order)


def _in_order(found: Found) -> tuple[object, ...]:
    identity = found[1]["identity"]
    *names, eps = (identity[name] for name in _PLACE)
    return (*names, Fraction(eps))


def _beside(record: Plain, theirs: list[Found]) -> Found | None:
    """The other cell's evaluation of the same name; of several the one that is most alike."""
    mine = record["identity"]
    same = [found for found in theirs if all(found[1]["identity"][n] == mine[n] for n in _PLACE)]

    def likeness(found: Found) -> int:
        own = found[1]["identity"]
        return sum(own.get(name) == value for name, value in mine.items())

    return max(same, key=likeness, default=None)


def _paired(one: Found, other: Found, *, same_data: bool) -> Paired:
    ours, theirs = (read_outcomes(path, record) for path, record in (one, other))
    identities = one[1]["identity"], other[1]["identity"]
    name = " ".join(identities[0][part] for part in _PLACE)
    if not same_data or not _same_images(ours, theirs):
        return Paired(name, "other test images: not compared")
    natural = [float(found.stands["natural"].mean()) for found in (ours, theirs)]
    robust = [float(found.worst.mean()) for found in (ours, theirs)]
    note = "" if _suite(identities[0]) == _suite(identities[1]) else "not the same version of it"
    equal = bool((ours.stands["natural"] == theirs.stands["natural"]).all())
    only = discordant(np.stack([ours.worst, theirs.worst]))
    return Paired(
        name,
        note,
        len(ours.y),
        (natural[0], natural[1]),
        (robust[0], robust[1]),
        (int(only[0, 1]), int(only[1, 0])),
        float(mcnemar(only, only.T)[0, 1]),
        equal and not only.any(),
    )


def _same_images(ours: Outcomes, theirs: Outcomes) -> bool:
    return np.array_equal(ours.origin, theirs.origin) and np.array_equal(ours.y, theirs.y)


def _suite(identity: Mapping[str, Any]) -> str:
    """What attacks, and by which rules: all of an evaluation's identity but whom and where."""
    return digest({n: v for n, v in identity.items() if n not in ("cell", "sources")})
