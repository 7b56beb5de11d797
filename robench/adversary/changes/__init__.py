"""Families of changes of images by a few parameters: what no ball around an image describes."""
