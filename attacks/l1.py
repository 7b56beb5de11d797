"""L1: AutoAttack's four attacks in L1, written by us (Croce & Hein 2021, arXiv:2103.01208)."""

from robench.adversary.standard import STANDARD_L1
from robench.adversary.suite import Suite

suite = Suite(STANDARD_L1, verdict="full", norms=("L1",), when_random="l1_rand")
