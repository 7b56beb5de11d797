"""StAdv: smooth deformations, an upper bound (after Xiao et al. 2018, arXiv:1801.02612)."""

from robench.adversary.flow import Flow
from robench.adversary.suite import Suite

suite = Suite({"flow-50": Flow()}, norms=("flow",), when_random="stadv_eot")
