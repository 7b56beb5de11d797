"""Blackbox: attacks without gradients, and their queries (after Dong et al. 2020, 1912.11852)."""

from robench.adversary.blackbox.hopskipjump import HopSkipJump
from robench.adversary.blackbox.nes import NES
from robench.adversary.blackbox.rays import RayS
from robench.adversary.blackbox.spsa import SPSA
from robench.adversary.square import Square
from robench.adversary.suite import Suite
from robench.evaluation.queried import Queried, worst_of_all

suite = Suite(
    measures={
        "square": Queried(attack=Square(queries=4998)),  # and two looks at its start
        "nes": Queried(attack=NES()),
        "spsa": Queried(attack=SPSA()),
        "hopskipjump": Queried(attack=HopSkipJump()),
        "rays": Queried(attack=RayS()),
    },
    verdict="none",
    norms=("Linf",),
    together=worst_of_all,
    note="Robust accuracy under each attack by itself, at 5,000 queries an image; an upper bound.",
)
