"""Classifier only: what a purifier protects, attacked without it; no headline (Lin et al. 2024)."""

from robench.adversary.part import OnPart
from robench.adversary.pgd import PGD
from robench.adversary.suite import Suite

suite = Suite(
    {
        "part-fgsm": OnPart(attack=PGD(steps=1, start="none")),
        "part-pgd-20": OnPart(attack=PGD(steps=20)),
    },
    looks=10,
)
