"""Detect: attacked images told by their features; not robustness (after Mao et al. 2019)."""

from robench.adversary.suite import Suite
from robench.evaluation.detection import Detection

suite = Suite(measures={"density": Detection()}, verdict="none")
