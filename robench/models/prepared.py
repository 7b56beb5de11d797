"""A faster copy of a network for attacks, which ask for logits and gradients of images alone.

Batch normalisation is folded into the convolutions before it, weights lie channels-last, and passes
without gradient go through a frozen graph. On a CPU a pass holds few images, so that activations
stay in the cache. Logits differ by rounding; the verdict on an image is always the original's.
"""

import copy
import warnings
from collections.abc import Callable
from io import BytesIO

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from robench.models.classifier import Classifier

PIXELS = 2**15
"""Of the images in a pass on a CPU: 32 of CIFAR-10, 512 of digits."""

ARCHITECTURES = 8
"""Whose graphs are kept."""

_TRACES: dict[str, bytes] = {}

_KNOWN = (
    "torch.nn.modules.", "robench.models.residual", "robench.models.denoise",
    "robench.models.pursuit",
)  # fmt: skip
"""Where the layers come from whose forward pass is known to be the same every time."""


def prepared(model: nn.Module, x: Tensor) -> nn.Module:
    """A copy whose classifiers are faster, or the model itself where that cannot be had safely.

    ``x``, images (B, C, H, W), is what the copy is tried on. A classifier with a layer that is not
    known stays as it is, because a trace would freeze whatever it draws or decides.
    """
    fast = copy.deepcopy(model).eval().requires_grad_(False)
    known = [part for part in fast.modules() if type(part) is Classifier and _is_known(part.body)]
    if not known:
        return model
    for part in known:
        part.body = _Body(part.body, part.normalise(x[:8]))
    with torch.no_grad():
        there, here = model(x[:8]), fast.eval()(x[:8])
    close = torch.allclose(there, here, rtol=1e-3, atol=1e-3 * float(there.abs().max()))
    return fast if close else model


def _is_known(body: nn.Module) -> bool:
    return all(type(layer).__module__.startswith(_KNOWN) for layer in body.modules())


class _Body(nn.Module):
    """A classifier's body, one way for gradients and one for none."""

    def __init__(self, body: nn.Module, z: Tensor) -> None:
        super().__init__()
        folded = fuse(body.eval()).requires_grad_(False)
        # Methods, not modules: the frozen one would have a training mode of its own.
        self._without_gradient = folded.forward if z.is_cuda else _frozen(folded, z)
        self.folded = folded.to(memory_format=torch.channels_last)
        self._images = max(8, PIXELS // z[0, 0].numel())

    def forward(self, z: Tensor) -> Tensor:
        """Features of normalised images."""
        if z.is_cuda:
            return self._pass(z)
        return torch.cat([self._pass(part) for part in z.split(self._images)])

    def _pass(self, z: Tensor) -> Tensor:
        if torch.is_grad_enabled() and z.requires_grad:
            out: Tensor = self.folded(z.contiguous(memory_format=torch.channels_last))
            return out
        return self._without_gradient(z)


def _frozen(body: nn.Module, z: Tensor) -> Callable[[Tensor], Tensor]:
    """The same as a graph with its weights inside, laid out for the processor."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch says that its tracer is an old one
        graph = torch.jit.load(BytesIO(_traced(body, z))).eval()
        graph.load_state_dict(body.state_dict())
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(graph))
        passes: Callable[[Tensor], Tensor] = frozen.forward
    return passes


def _traced(body: nn.Module, z: Tensor) -> bytes:
    """The graph of a network like this one, traced once: torch never forgets what it has traced.

    A graph that is read from its file is forgotten with the copy that holds it, and so is what is
    frozen of it: 50 copies take the memory of one.
    """
    key = f"{body.code}{body}{tuple(z.shape[1:])}"
    if key not in _TRACES:
        file = BytesIO()
        torch.jit.save(torch.jit.trace(body, z, check_trace=False), file)
        if len(_TRACES) == ARCHITECTURES:
            del _TRACES[next(iter(_TRACES))]
        _TRACES[key] = file.getvalue()
    return _TRACES[key]
