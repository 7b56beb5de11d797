"""What methods with a teacher share: only the student is deployed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.models.taught import Taught
from robench.training.method import Adversarial, Run, Stage, crafting


@dataclass(frozen=True, kw_only=True)
class Guided(Adversarial):
    """A student and a teacher of the same architecture, of which the teacher is trained first.

    A method says what either learns.
    """

    def stages(self) -> tuple[Stage, ...]:
        """The teacher's, then the student's, each as long as the recipe says."""
        return Stage("teacher", prefix="teacher."), Stage(prefix="student.")

    def build(self, classifier: Callable[[], nn.Module], run: Run) -> nn.Module:
        """The student is drawn first: its initial weights are those it would have alone."""
        return Taught(classifier(), classifier())

    def deploy(self, model: nn.Module, run: Run) -> nn.Module:
        """The student; the teacher while that is what is trained, for validation's sake."""
        assert isinstance(model, Taught)
        return model.teacher if run.stage == "teacher" else model.student


@torch.no_grad()
def advice(model: Taught, x: Tensor) -> Tensor:
    """The logits of a teacher that learns no more: in eval mode, without gradients."""
    with crafting(model.teacher, "eval"):
        logits: Tensor = model.teacher(x)
    return logits
