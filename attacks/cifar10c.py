"""CIFAR-10-C: the published files of 15 corruptions (Hendrycks & Dietterich 2019, 1903.12261)."""

from robench.adversary.suite import Suite
from robench.evaluation.corrupted import CorruptedFiles
from robench.radius import BALLS

suite = Suite(
    measures={"published": CorruptedFiles()},
    verdict="none",
    norms=BALLS,
    note="Accuracy on CIFAR-10-C's published files (Hendrycks & Dietterich 2019), for CIFAR-10 "
    "only: common corruptions, which no attacker chose, so no robust accuracy, and the same at "
    "every radius. mCE by natural divides each kind's error by that of natural training with the "
    "same seed.",
)
