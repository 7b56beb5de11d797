"""Standard: AutoAttack's four attacks, written by us (Croce & Hein 2020, arXiv:2003.01690)."""

from robench.adversary.standard import STANDARD
from robench.adversary.suite import Suite

suite = Suite(STANDARD, verdict="full", when_random="rand")
