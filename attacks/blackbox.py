"""Blackbox: Square with more queries and restarts (Andriushchenko et al. 2020, 1912.00049)."""

from robench.adversary.square import Square
from robench.adversary.suite import Suite

suite = Suite({"square-10000": Square(queries=10_000, restarts=3)})
