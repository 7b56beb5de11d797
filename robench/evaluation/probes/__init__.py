"""Cheap attacks on a few dozen images that raise flags: is this model what it seems to be?"""
