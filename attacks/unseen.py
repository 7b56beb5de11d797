"""Unseen: threats that few train for, union and mean (after Laidlaw et al. 2021, 2006.12655)."""

from robench.adversary.suite import Suite
from robench.evaluation.unseen import NOTE, OVERALL, threats
from robench.radius import BALLS

suite = Suite(
    measures=threats(),
    verdict="none",
    norms=BALLS,
    together=OVERALL,
    note=NOTE,
    when_random="unseen_eot",
)
