"""How long a piece of work takes, here and now."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median_low

import torch

ENOUGH = 0.3
"""Seconds of work after which a measurement is believed."""


def seconds(work: Callable[[], object], device: torch.device, most: int = 7) -> float:
    """Of one call: the lower median of several after one that warms up; of a long one, its own."""
    spent = [_once(work, device)]
    while sum(spent) < 2 * ENOUGH and len(spent) <= most:
        spent.append(_once(work, device))
    return median_low(spent[1:] or spent)


def an_image(work: Callable[[int], object], device: torch.device, first: int, most: int) -> float:
    """Seconds an image of work on so many of them, tried on more until it takes long enough.

    On CUDA, where few images leave the device idle, all of them are tried at once.
    """
    images = most if device.type == "cuda" else min(first, most)
    while True:
        spent = seconds(partial(work, images), device)
        if spent >= ENOUGH or images == most:
            return spent / images
        images = min(4 * images, most)


def _once(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
