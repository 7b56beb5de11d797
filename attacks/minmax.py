"""Min-max: one perturbation for many images, views or models (Wang et al. 2021, 1906.03563)."""

from robench.adversary.minmax import Transformed, Universal
from robench.adversary.suite import Suite
from robench.adversary.transfer import Ensemble
from robench.radius import BALLS

suite = Suite(
    {
        "universal": Universal(),
        "transformed": Transformed(),
        "ensemble": Ensemble(sources=("natural", "madry")),
    },
    norms=BALLS,
)
