"""Where tensors live: the one rule for choosing a device, and the facts worth recording."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from robench.errors import ConfigError


def choose(name: str) -> torch.device:
    """``auto`` is CUDA where there is one; otherwise ``cpu``, ``cuda`` or ``cuda:1``."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is none of auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not here; {torch.cuda.device_count()} CUDA devices")
    return device


def facts(device: torch.device) -> dict[str, object]:
    """What a number may depend on: the device, threads, and precision switches."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32_training": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        "tf32_evaluation": False,
    }


def peak_mb(device: torch.device) -> float:
    """Most memory in use so far: of the device on CUDA, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32: on recent GPUs it would round what an attack tells apart."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
