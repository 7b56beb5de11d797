"""Detect adaptive: rejection under orthogonal PGD (Bryniarski et al. 2022, arXiv:2106.15023)."""

from robench.adversary.suite import Suite
from robench.evaluation.rejection import Rejection

suite = Suite(
    measures={"predicted": Rejection(), "best": Rejection(score="best")},
    verdict="none",
    note="With rejection an image stands if it is classified rightly or rejected, at a threshold "
    "that rejects 5 % of natural ones; worst is over attacks on the classifier alone and on both. "
    "Alone is the classifier without its detector, under the former.",
)
