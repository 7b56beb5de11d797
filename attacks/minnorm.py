"""Minimum norm: nearest wrong images in Linf, L2 or L1 (after Pintor et al. 2021, 2102.12827)."""

from robench.adversary.nearest.deepfool import DeepFool
from robench.adversary.nearest.fmn import FMN
from robench.adversary.nearest.pdpgd import PDPGD
from robench.adversary.suite import Suite
from robench.evaluation.distances import Distances, Nearest
from robench.radius import BALLS

suite = Suite(
    measures={
        "deepfool": Distances(attack=DeepFool()),
        "fmn": Distances(attack=FMN(steps=200)),
        "pdpgd": Distances(attack=PDPGD(steps=200)),
    },
    verdict="none",
    norms=BALLS,
    together=Nearest(),
    note=(
        "Each image's distance to the nearest wrong image found: an upper bound. It stands at eps "
        "when that is larger; together takes the nearest of all attacks. One eps is enough: the "
        "curve has the others."
    ),
)
