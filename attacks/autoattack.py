"""AutoAttack: the package's standard version (Croce & Hein 2020, arXiv:2003.01690)."""

from robench.adversary.packages import AUTOATTACK, AutoAttack
from robench.adversary.suite import Suite
from robench.radius import BALLS

suite = Suite(
    {
        "apgd-ce": AutoAttack("apgd-ce"),
        "apgd-t": AutoAttack("apgd-t"),
        "fab-t": AutoAttack("fab-t"),
        "square": AutoAttack("square"),
    },
    verdict="full",
    norms=BALLS,
    needs=(AUTOATTACK,),
)
