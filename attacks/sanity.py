"""Sanity: one cheap attack of each kind, to be compared with each other (Carlini et al. 2019)."""

from robench.adversary.apgd import APGD
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.square import Square
from robench.adversary.suite import Suite

suite = Suite(
    {
        "fgsm": PGDAttack(pgd=PGD(steps=1, start="none")),
        "pgd-20": PGDAttack(pgd=PGD(steps=20)),
        "pgd-40": PGDAttack(pgd=PGD(steps=40)),
        "pgd-20-scale": PGDAttack(pgd=PGD(steps=20), loss="scale-invariant"),
        "apgd-dlr-20": APGD(loss="dlr", steps=20),
        "square-500": Square(queries=500),
    }
)
