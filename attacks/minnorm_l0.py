"""Minimum number of changed pixels: wrong images in L0 (Pintor et al. 2021; Cina et al. 2024)."""

from robench.adversary.nearest.deepfool import DeepFool
from robench.adversary.nearest.fmn import FMN
from robench.adversary.nearest.nearest import MinimumNorm
from robench.adversary.nearest.pdpgd import PDPGD
from robench.adversary.nearest.sigma import SigmaZero
from robench.adversary.suite import Suite
from robench.evaluation.distances import Distances, Nearest
from robench.radius import BALLS

PIXELS = 10.0
"""Where robust accuracy is read, whatever the grid's eps is; curves go to twice as many."""


def fewest(attack: MinimumNorm) -> Distances:
    """How many pixels an attack has to change."""
    return Distances(attack=attack, norm="L0", eps=PIXELS)


suite = Suite(
    measures={
        "deepfool": fewest(DeepFool()),
        "fmn": fewest(FMN(steps=200)),
        "pdpgd": fewest(PDPGD(steps=200)),
        "sigma-zero": fewest(SigmaZero(steps=200)),
    },
    verdict="none",
    norms=BALLS,
    together=Nearest(),
    note=(
        "How many pixels, each with all its channels, are different in the nearest wrong image "
        f"found: an upper bound. Here eps is {PIXELS:g} pixels, whatever the grid's radius is; "
        "together takes the fewest of all attacks."
    ),
)
