"""Torchattacks: its PGD-20 and APGD-100, never AutoAttack (Kim 2020, arXiv:2010.01950)."""

from robench.adversary.packages import TorchattacksAPGD, TorchattacksPGD
from robench.adversary.suite import Suite

suite = Suite(
    {
        "pgd-20": TorchattacksPGD(steps=20),
        "apgd-ce-100": TorchattacksAPGD(loss="ce", steps=100, restarts=1),
        "apgd-dlr-100": TorchattacksAPGD(loss="dlr", steps=100, restarts=1),
    },
    needs=(("torchattacks",),),
)
