"""What a step of training costs, as counted."""

import torch
from torch import nn

from robench.data.batches import Batch
from robench.models.passes import Passes, counted
from robench.training.method import Method, Run


def spent(method: Method, model: nn.Module, batch: Batch, run: Run) -> Passes:
    """Passes of one step of plain SGD, an image of the batch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with counted(model.train()) as passes:
        method.step(model, batch, run, optimizer)
    images = len(batch.y)
    assert passes.forwards % images == passes.backwards % images == 0
    return Passes(passes.forwards // images, passes.backwards // images)
