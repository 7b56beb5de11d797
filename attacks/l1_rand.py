"""L1 rand: for stochastic models, Auto-PGD in L1 with EOT 20 (after Croce & Hein 2021)."""

from robench.adversary.standard import RAND_L1
from robench.adversary.suite import Suite

suite = Suite(RAND_L1, verdict="stochastic", norms=("L1",), looks=10)
