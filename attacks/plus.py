"""Plus: AutoAttack's longer version with untargeted FAB and restarts (Croce & Hein 2020)."""

from robench.adversary.apgd import APGD, TargetedAPGD
from robench.adversary.fab import FAB, TargetedFAB
from robench.adversary.square import Square
from robench.adversary.suite import Suite

suite = Suite(
    {
        "apgd-ce": APGD(restarts=5),
        "apgd-dlr": APGD(loss="dlr", restarts=5),
        "fab": FAB(restarts=5),
        "square": Square(),
        "apgd-t": TargetedAPGD(),
        "fab-t": TargetedFAB(),
    },
    verdict="full",
    when_random="rand",
)
