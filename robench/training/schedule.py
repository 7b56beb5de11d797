"""The learning rate as a function of how much of training is done."""

import math

from robench.training.recipe import Recipe


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The rate at a share ``progress`` in [0, 1) of training."""
    if recipe.schedule == "piecewise":
        return recipe.lr * recipe.drop ** sum(progress >= m for m in recipe.milestones)
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * progress)) / 2
    if recipe.schedule == "cyclic":
        return recipe.lr * min(progress / 0.4, (1 - progress) / 0.6)
    return recipe.lr
