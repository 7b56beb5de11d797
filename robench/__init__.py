"""Compare robust training methods under attacks that do not flatter them."""

__version__ = "0.1.0"
