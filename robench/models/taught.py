"""A network and its teacher."""

from torch import Tensor, nn


class Taught(nn.Module):
    """Two networks with weights of their own; the student is what classifies."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, x: Tensor) -> Tensor:
        """The student's logits, (B, classes), of images in [0, 1]."""
        logits: Tensor = self.student(x)
        return logits
