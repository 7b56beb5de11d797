"""robench's own loop, as a run has it."""

from collections.abc import Mapping

from benchmarks.loops.task import INNER, Task
from robench.models.passes import Passes
from robench.training.course import Underway
from robench.training.epochs import Done, epochs
from robench.training.method import Method, method
from robench.training.train import begun

CHANGES: Mapping[str, Mapping[str, object]] = {
    "natural": {},
    "madry": {"attack.steps": INNER, "attack.step_size": None},
    "trades": {"attack.steps": INNER, "attack.step_size": None},
    "awp": {"inner.attack.steps": INNER, "inner.attack.step_size": None, "warmup": 0.0},
}
"""What makes a method do what the other loops do."""


def chosen(name: str, dataset: str) -> Method:
    """The method with the steps that all sides take."""
    return method(name, dataset, CHANGES[name])


class Ours:
    """A turn of robench."""

    def __init__(self, name: str, task: Task) -> None:
        method, self.data = chosen(name, task.data.name), task.data
        self.course = begun(method, task.network, task.data, task.recipe, task.threat, 0)
        self.course.underway = Underway(task.order)

    def __call__(self) -> Done:
        """One epoch."""
        return next(epochs(self.course, self.data, lambda: None))


def passes(name: str, task: Task) -> tuple[Passes, Passes]:
    """Of an image in a step: counted, and as the method declares them."""
    done, images = Ours(name, task)(), len(task.data.train)
    counted = Passes(done.passes.forwards // images, done.passes.backwards // images)
    return counted, chosen(name, task.data.name).passes("train")
