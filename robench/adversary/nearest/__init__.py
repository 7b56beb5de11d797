"""Minimum-norm attacks: the smallest change that makes an image wrong, at no radius given."""
