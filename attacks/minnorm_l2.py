"""Minimum norm in L2: C&W, DDN and FAB besides (Carlini & Wagner 2017; Rony et al. 2019)."""

from robench.adversary.nearest.carlini import CarliniWagner
from robench.adversary.nearest.ddn import DDN
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
        "ddn": Distances(attack=DDN(steps=200)),
        "cw": Distances(attack=CarliniWagner(searches=6, steps=200, size=0.05)),
    },
    verdict="none",
    norms=("L2",),
    together=Nearest(),
    note=(
        "Each image's L2 distance to the nearest wrong image found: an upper bound. It stands at "
        "eps when that is larger; together takes the nearest of all attacks. One eps is enough: "
        "the curve has the others. C&W's budget is shorter than the authors'."
    ),
)
