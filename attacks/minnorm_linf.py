"""Minimum norm in Linf: FAB besides, with and without targets (Croce & Hein 2020, 1907.02044)."""

from robench.adversary.nearest.deepfool import DeepFool
from robench.adversary.nearest.fab import NearestFAB
from robench.adversary.nearest.fmn import FMN
from robench.adversary.nearest.pdpgd import PDPGD
from robench.adversary.suite import Suite
from robench.evaluation.distances import Distances, Nearest

suite = Suite(
    measures={
        "deepfool": Distances(attack=DeepFool()),
        "fmn": Distances(attack=FMN(steps=200)),
        "pdpgd": Distances(attack=PDPGD(steps=200)),
        "fab": Distances(attack=NearestFAB(steps=50)),
        "fab-t": Distances(attack=NearestFAB(steps=50, targets=9)),
    },
    verdict="none",
    norms=("Linf",),
    together=Nearest(),
    note=(
        "Each image's Linf distance to the nearest wrong image found: an upper bound. It stands at "
        "eps when that is larger; together takes the nearest of all attacks. One eps is enough: "
        "the curve has the others."
    ),
)
