"""Whether weights that were loaded still do what they did when they were saved."""

from pathlib import Path

import torch
from torch import nn

from robench.adversary.attack import right
from robench.data.load import Data
from robench.device import full_precision
from robench.errors import StoreError
from robench.seeds import derive, seeded
from robench.settings import Plain

IMAGES = 100
"""Of the validation part, looked at after every load."""

_SLACK = 3
"""Images that may come out otherwise on another device, whose last bits differ."""


def recognised(model: nn.Module, data: Data, seed: int) -> Plain:
    """How many of the first validation images a deployed model classifies rightly."""
    few = data.validation.first(IMAGES)
    model.eval()
    with full_precision(), seeded(derive(seed, "recognised")), torch.no_grad():
        return {"images": len(few), "right": int(right(model, few.x(), few.y).sum())}


def check_recognised(path: Path, model: nn.Module, data: Data, seed: int, kept: Plain) -> None:
    """Raise where a model does not do what its record says; older records say nothing."""
    if kept.get("recognised") is None:
        return
    then, now = kept["recognised"], recognised(model, data, seed)
    if now["images"] != then["images"] or abs(now["right"] - then["right"]) > _SLACK:
        raise StoreError(
            f"{path} does not do what it did: {now['right']} of {now['images']} validation images "
            f"are right, and {then['right']} of {then['images']} were when it was saved"
        )
