"""A step asks the device for no number: on CUDA the loop would wait for it."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robench.check import tiny
from robench.data.load import Data
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.course import Course
from robench.training.epochs import epochs, new_run
from robench.training.method import method

ASKS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.is_nonzero")
"""Operations whose result has to come to the host before anything goes on."""


class Asked(TorchDispatchMode):
    """Counts them; a mask as an index is one as well."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func)
        masks = name.startswith(("aten.index.", "aten.index_put")) and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if masks or name.startswith(ASKS):
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


def asked(name: str, data: Data) -> Counter[str]:
    """In the steps of an epoch."""
    chosen = method(name, changes={"warmup": 0} if name == "awp" else {})
    recipe = replace(
        tiny.RECIPE, batch_size=50, epochs=1, augment="crop-flip", pad=1, optimizer="adam"
    )
    with seeded(0):
        run = new_run(data, Threat("Linf", 0.1), recipe)
        model = chosen.build(tiny.classifier, run)
        run.state = chosen.init(model, run)
        course = Course(chosen, model, recipe, run, 0)
        seen = Asked()
        step = type(chosen).step

        def watched(self: Any, *given: Any) -> Any:
            with seen:
                return step(self, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(chosen), "step", watched)
            next(epochs(course, data, lambda: None))
    return seen.count


@pytest.mark.parametrize(
    "name", ["natural", "madry", "trades", "mart", "alp", "dale", "tla", "nfgsm", "free", "awp"]
)
def test_no_step_waits_for_the_device(name: str, data: Data) -> None:
    assert not asked(name, data)


def test_one_that_stops_images_has_to_ask(data: Data) -> None:
    """Whether any image goes on: the price of steps that are not made."""
    assert asked("sensible", data)
