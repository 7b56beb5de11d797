"""Indicators of attack failure: what the run of an attack itself says of its result."""
