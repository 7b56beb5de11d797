"""torch.compile for the networks of a module, in place."""

from typing import Literal

from torch import nn

from robench.models.classifier import Network


def compiled(model: nn.Module, mode: Literal["default", "reduce-overhead"]) -> nn.Module:
    """The same module; the bodies of its networks are compiled when they are first used.

    ``reduce-overhead`` replays CUDA graphs. Copies of the module are not compiled. What counts
    passes stands behind a body, not in it, so that it need not be compiled with it.
    """
    for part in model.modules():
        if isinstance(part, Network):
            part.body.compile(mode=mode)
    return model
