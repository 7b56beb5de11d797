"""Augmented: random perturbations, their quantiles and tail (after Robey et al. 2021)."""

from robench.adversary.suite import Suite
from robench.evaluation.augmented import Augmented

suite = Suite(measures={"uniform": Augmented()}, verdict="none")
