"""What takes turns: robench's attacks and the package's, as far as the same budget goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.nets import Subject
from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.attack import Attack, attempt, right
from robench.adversary.fab import TargetedFAB
from robench.adversary.sparse import SparseAPGD, TargetedSparseAPGD
from robench.adversary.square import Square
from robench.evaluation.audit import most_missed
from robench.models.prepared import prepared
from robench.radius import Norm

REFERENCE = "pyautoattack"

BATCH = 250
"""The package's default; both attack as many images at once, so that both draw the same numbers."""


AUDITED = 0.1
"""Share of the survivors of APGD-CE and APGD-T that the other two are run on."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How far the attacks go, the same on both sides; the defaults are AutoAttack's."""

    steps: int = 100
    targets: int = 9
    queries: int = 5000

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.targets} targets, {self.queries} queries"

    def ours(self, norm: Norm) -> dict[str, Attack]:
        """The four attacks that are robench's own, in order."""
        few = min(self.targets, TargetedSparseAPGD().targets)
        apgd: tuple[Attack, Attack] = (
            (SparseAPGD(steps=self.steps), TargetedSparseAPGD(steps=self.steps, targets=few))
            if norm == "L1"
            else (APGD(steps=self.steps), TargetedAPGD(steps=self.steps, targets=self.targets))
        )
        return {
            "apgd-ce": apgd[0],
            "apgd-t": apgd[1],
            "fab-t": TargetedFAB(steps=self.steps, targets=self.targets),
            "square": Square(queries=self.queries),
        }

    def limit(self, package: Any) -> None:
        """Hold the package's attacks to it; its APGD has already derived three numbers from 100."""
        for apgd in (package.apgd, package.apgd_targeted):
            apgd.n_iter = apgd.n_iter_orig = self.steps
            apgd.n_iter_2 = max(int(0.22 * self.steps), 1)
            apgd.n_iter_min = max(int(0.06 * self.steps), 1)
            apgd.size_decr = max(int(0.03 * self.steps), 1)
        package.fab.n_iter, package.square.n_queries = self.steps, self.queries
        for targeted in (package.apgd_targeted, package.fab):
            targeted.n_target_classes = min(self.targets, targeted.n_target_classes)


def cascade(
    attacks: Mapping[str, Attack], on: Subject, seed: int, fast: nn.Module | None = None
) -> Tensor:
    """Which images (B,) stand after robench's attacks, each on what the ones before have left.

    Attacks get the faster copy of the network; the verdict on what they return is the original's.
    """
    stands = right(on.model, on.x, on.y)
    fast = prepared(on.model, on.x[:8]) if fast is None else fast
    for name, attack in attacks.items():
        for todo in stands.nonzero().squeeze(1).split(BATCH) if stands.any() else ():
            x, y = on.x[todo], on.y[todo]
            x_adv = attempt(name, attack, fast, x, y, on.threat, seed)
            stands[todo] = right(on.model, x_adv, y)
    return stands


def packaged(names: Sequence[str], budget: Budget, on: Subject, seed: int) -> Tensor:
    """Which images (B,) stand after the package's attacks, by its own account."""
    import pyautoattack

    eps, norm = on.threat.eps, on.threat.norm
    attack = pyautoattack.AutoAttack(on.model, norm=norm, eps=eps, version="standard", seed=seed)
    attack.attacks_to_run, attack.verbose = list(names), False
    if budget != Budget():
        budget.limit(attack)
    _, classes = attack.run_standard_evaluation(on.x, on.y, batch_size=BATCH)
    stands: Tensor = classes == on.y
    return stands


def audited(attacks: Mapping[str, Attack], on: Subject, seed: int) -> tuple[Tensor, str]:
    """Both APGDs on all images, FAB-T and Square on a random tenth of what stands then.

    If one of those falls, they are run on the others, too. Also says what that amounts to.
    """
    fast, names = prepared(on.model, on.x[:8]), list(attacks)
    cheap, dear = ({name: attacks[name] for name in part} for part in (names[:2], names[2:]))
    stands = cascade(cheap, on, seed, fast)
    sample, others = drawn(stands, seed)
    stands[sample] = cascade(dear, on.at(sample), seed, fast)
    fell = int((~stands[sample]).sum())
    if fell:
        stands[others] = cascade(dear, on.at(others), seed, fast)
    return stands, in_words(len(sample), len(others), fell)


def warm(on: Subject) -> None:
    """Both sides once at next to no cost: imports and first passes belong to neither's time."""
    budget, few = Budget(steps=2, targets=1, queries=5), on.at(slice(8))
    ours = budget.ours(on.threat.norm)
    packaged(list(ours), budget, few, 0)
    cascade(ours, few, 0)


def drawn(stands: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of a random tenth of the images that stand, at least one, and of the others."""
    index = stands.nonzero().squeeze(1)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))
    part = min(len(index), max(1, round(AUDITED * len(index))))
    return index[order[:part]].sort().values, index[order[part:]].sort().values


def in_words(m: int, others: int, fell: int) -> str:
    """What an audit amounts to: its size, and what it leaves open with 95 % confidence."""
    if not m:
        return "nothing stood"
    said = f"m = {m} of {m + others}, {fell} fell"
    if fell:
        return f"{said}: all were attacked"
    return f"{said}: at most {most_missed(m, m + others):.1%} of them would (95 %)"
