"""Attacks, and suites that take the worst case over them."""
