"""StAdv with EOT: smooth deformations of stochastic models (after Xiao et al. 2018, 1801.02612)."""

from robench.adversary.flow import Flow
from robench.adversary.suite import Suite

suite = Suite({"flow-50": Flow(draws=20)}, norms=("flow",), looks=10)
