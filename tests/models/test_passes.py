"""Counting forward and backward passes of images."""

import torch
from torch import nn

from robench.check import tiny
from robench.models.passes import counted


def test_images_are_counted_however_the_network_is_used() -> None:
    model = tiny.classifier()
    x = torch.rand(7, 3, 8, 8, requires_grad=True)
    with counted(model) as passes:
        with torch.no_grad():
            model(x)
        model.features(x)
        torch.autograd.grad(model(x).sum(), x)
    assert (passes.forwards, passes.backwards) == (21, 7)
    model(x)
    assert passes.forwards == 21


def test_every_classifier_inside_counts() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList([tiny.classifier(), tiny.classifier()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.members[0](x) + self.members[1](x)

    with counted(Both()) as passes:
        pass
    model = Both()
    with counted(model) as passes:
        model(torch.rand(5, 3, 8, 8)).sum().backward()
    assert (passes.forwards, passes.backwards) == (10, 10)


def test_a_module_of_another_kind_counts_as_a_whole() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with counted(model) as passes:
        model(torch.rand(3, 1, 2, 2)).sum().backward()
    assert (passes.forwards, passes.backwards) == (3, 3)
