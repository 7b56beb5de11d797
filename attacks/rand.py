"""Rand: for stochastic models, AutoAttack's version with EOT 20 (Croce & Hein 2020, 2003.01690)."""

from robench.adversary.standard import RAND
from robench.adversary.suite import Suite

suite = Suite(RAND, verdict="stochastic", looks=10)
