"""Corruptions: 15 common kinds, made here (after Hendrycks & Dietterich 2019, 1903.12261)."""

from robench.adversary.suite import Suite
from robench.evaluation.corrupted import Corrupted
from robench.radius import BALLS

suite = Suite(
    measures={"made": Corrupted()},
    verdict="none",
    norms=BALLS,
    note="Accuracy under common corruptions, which no attacker chose: no robust accuracy, and the "
    "same at every radius. Made here after Hendrycks & Dietterich (2019), with CIFAR-10-C's "
    "severities and frost that is drawn: not to be compared with numbers of CIFAR-10-C. mCE by "
    "natural divides each kind's error by that of natural training with the same seed.",
)
