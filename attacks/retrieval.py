"""Retrieval: recall@1 of attacked queries among natural images (after Panum et al. 2021)."""

from robench.adversary.suite import Suite
from robench.evaluation.retrieval import Retrieval

suite = Suite(measures={"recall": Retrieval()}, verdict="none")
