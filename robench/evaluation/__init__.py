"""A trained cell against a suite: outcomes for every image."""
