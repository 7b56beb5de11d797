"""Attacks that ask for answers and never for gradients, and count how often they ask."""
