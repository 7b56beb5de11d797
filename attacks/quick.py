"""Quick: PGD-20 on the cross-entropy, then on the margin; an upper bound, not AutoAttack."""

from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite

suite = Suite(
    {
        "pgd-20": PGDAttack(pgd=PGD(steps=20)),
        "pgd-20-margin": PGDAttack(pgd=PGD(steps=20), loss="margin"),
    }
)
