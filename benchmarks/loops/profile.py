"""Where the time of a turn goes."""

import time
from collections.abc import Callable, Mapping
from unittest import mock

from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.loops.task import Turn
from robench.data.augment import augment

PARTS = ("convolution", "other layers", "images", "optimiser", "other tensor work", "Python")
"""In the order of the table."""

_IMAGES = "benchmark: images"

_LAYERS = (
    "addmm", "aten::mm", "batch_norm", "threshold", "relu", "clamp_min", "pool", "softmax",
    "nll_loss",
)  # fmt: skip


def shares(turn: Turn) -> Mapping[str, float]:
    """Of the seconds of a turn, by what they were spent on.

    Images: read, transformed, augmented and put together. Python: what no tensor operation takes.
    """
    with _marked(), profile(activities=[ProfilerActivity.CPU]) as seen:
        began = time.perf_counter()
        turn()
        whole = 1e6 * (time.perf_counter() - began)
    events = seen.key_averages()
    spans = {
        "images": sum(e.cpu_time_total for e in events if _is_images(e.key)),
        "optimiser": sum(e.cpu_time_total for e in events if e.key.startswith("Optimizer.step")),
    }
    apart = dict.fromkeys(("convolution", "other layers", "other tensor work"), 0.0)
    for event in events:
        if _is_images(event.key) or event.key.startswith(("Optimizer.", "autograd::", "Profiler")):
            continue
        apart[_kind(event.key)] += event.self_cpu_time_total
    # What runs within a span is a tensor operation as well.
    apart["other tensor work"] = max(0.0, apart["other tensor work"] - sum(spans.values()))
    found = {**apart, **spans}
    return {name: value / whole for name, value in found.items()} | {
        "Python": max(0.0, 1 - sum(found.values()) / whole)
    }


def _kind(name: str) -> str:
    if "conv" in name:
        return "convolution"
    return "other layers" if any(layer in name for layer in _LAYERS) else "other tensor work"


def _is_images(name: str) -> bool:
    return name == _IMAGES or name.startswith("enumerate(DataLoader)")


def _marked() -> "mock._patch[Callable[..., object]]":
    """The augmentation of robench has no mark of its own; torch marks a DataLoader by itself."""

    def seen(*arguments: object) -> object:
        with record_function(_IMAGES):
            return augment(*arguments)  # type: ignore[arg-type]

    return mock.patch("robench.training.epochs.augment", seen)
