"""Certify: radii that smoothing proves, with abstention (Cohen et al. 2019, arXiv:1902.02918)."""

from robench.adversary.suite import Suite
from robench.evaluation.certification import Certification

suite = Suite(measures={"smoothing": Certification()}, verdict="none", norms=("L2",))
