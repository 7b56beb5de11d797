"""Flags that the outcomes of a whole suite show without another look at the model; no torch."""

import itertools
import re
from collections.abc import Mapping

from robench.evaluation.flags import Finding
from robench.evaluation.outcomes import Mask
from robench.evaluation.probes.chance import COMMON, beyond

SINGLE_STEP = re.compile(r"fgsm.*")
"""Names of attacks that nobody takes for strong, so that their gap says nothing."""

MISSED = 0.002
"""Share of images that white-box attacks leave to random search without being masked; AutoAttack
warns of more."""


def read_off(stands: Mapping[str, Mask]) -> dict[str, Finding]:
    """What ``natural`` and then each attack in order leave standing, to findings.

    ``gap`` is up when the first attack of several steps leaves over 10 points more standing than
    all together, and not by chance: at least 19 of 100 images, 51 of 360, 1,071 of 10,000.
    ``black-box-wins`` is up when an attack whose name holds ``square``, and which has another
    before it, lowers robust accuracy by more than the 0.2 points that AutoAttack warns of, and not
    by chance: at least 3 of 200 images, 4 of 360, 32 of 10,000.
    """
    names = [name for name in stands if name != "natural"]
    many_steps = [name for name in names if not SINGLE_STEP.fullmatch(name)]
    return {"gap": _gap(stands, many_steps), "black-box-wins": _black_box(stands, names)}


def _gap(stands: Mapping[str, Mask], names: list[str]) -> Finding:
    if len(names) < 2:
        return Finding("unknown", "the suite has only one attack of several steps")
    first, last = (stands[name] for name in (names[0], names[-1]))
    lost, of = int(first.sum() - last.sum()), len(first)
    up = beyond(lost, of, COMMON)
    detail = f"{names[0]} leaves {first.mean():.1%}, all attacks {last.mean():.1%}"
    return Finding("up" if up else "ok", f"{detail} ({lost} of {of} images)")


def _black_box(stands: Mapping[str, Mask], names: list[str]) -> Finding:
    after = {name: before for before, name in itertools.pairwise(names)}
    squares = [name for name in after if "square" in name]
    if not squares:
        return Finding("unknown", "no black-box attack comes after a white-box one")
    won = {name: int(stands[after[name]].sum() - stands[name].sum()) for name in squares}
    most, of = max(won.values()), len(stands[squares[0]])
    up = beyond(most, of, MISSED)
    told = ", ".join(f"{name} breaks {count}" for name, count in won.items())
    return Finding("up" if up else "ok", f"{told} of {of} images that stood everything before it")
