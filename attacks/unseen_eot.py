"""Unseen with EOT: threats that few train for, stochastic models (after Laidlaw et al. 2021)."""

from robench.adversary.suite import Suite
from robench.evaluation.unseen import NOTE, OVERALL, threats
from robench.radius import BALLS

suite = Suite(
    measures=threats(draws=10, looks=10),
    verdict="none",
    norms=BALLS,
    looks=10,
    together=OVERALL,
    note=NOTE,
)
