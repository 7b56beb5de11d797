"""One seed a cell, and streams of random numbers derived from it by name.

Initial weights, the order of the data, what a method draws, and every attack have streams of their
own, so that adding an attack changes no other number.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derive(seed: int, *names: object) -> int:
    """A seed in [0, 2**32) that depends on all its arguments."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, numpy and Python's own generator; put all three back afterwards."""
    before = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        _seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def _seed(seed: int) -> None:
    """Seed torch, and an accelerator's generators where there is one, even if it is not in use yet.

    Without one torch would keep, for its first use, each seed with the stack it came from.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def generators() -> dict[str, Any]:
    """Where all random numbers stand, as tensors and plain values."""
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "python": random.getstate(),
    }


def put_back(state: dict[str, Any]) -> None:
    """Let all random numbers go on from where ``generators`` found them."""
    name, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_initialized():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
