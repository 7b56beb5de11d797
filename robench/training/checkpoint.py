"""Weights and states of training as files, and back to what is attacked or trained."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from robench.errors import StoreError
from robench.keeping import State as Saved
from robench.seeds import derive, seeded
from robench.settings import Plain
from robench.training.method import Method, Run, State
from robench.training.train import Checkpoint


def to_bytes(checkpoint: Checkpoint, about: Plain) -> bytes:
    """A safetensors file: the tensors, and in its header what is needed to use them."""
    return packed(checkpoint.tensors, about)


def packed(tensors: State, about: Plain) -> bytes:
    """The same of tensors that are named already: ``model.*`` and ``state.*``."""
    whole = {name: value.contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(whole, {"robench": json.dumps(about, sort_keys=True)})


def pack_state(state: Saved) -> bytes:
    """A state of training as ``torch.save`` writes it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack_state(content: bytes) -> Saved:
    """What ``pack_state`` was given, on the CPU.

    Raises:
        StoreError: it holds something else than tensors and plain values.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own
        raise StoreError(f"a saved state cannot be read: {error}") from error
    if not isinstance(state, dict):
        raise StoreError(f"a saved state is a {type(state).__name__} and no dictionary")
    return state


def restore(
    path: Path,
    method: Method,
    classifier: Callable[[], nn.Module],
    run: Run,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """The module to attack, in eval mode: built as in training, its weights and state loaded.

    Raises:
        StoreError: the file's tensors are not the ones that the module has.
    """
    try:
        # It checks the header's length, types, shapes and offsets against the file before it makes
        # room for any tensor.
        tensors = safetensors.torch.load_file(path, device=str(device))
        with seeded(derive(seed, "init")):
            model = method.build(classifier, run).to(device)
        model.load_state_dict(_under("model.", tensors), strict=True)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise StoreError(f"{path} does not fit its cell: {error}") from error
    run.state = _under("state.", tensors)
    return method.deploy(model, run).eval()


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
