"""The tensors of a foreign checkpoint: found in what it holds, checked, and named as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robench.errors import ForeignError

_NESTS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights",
    "ema", "ema_state_dict", "state_dict_ema", "model_ema",
)  # fmt: skip
"""Where repositories keep them, what was trained before its running average."""

_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Of torch's DataParallel and compile, and of modules that hold the network."""

_DTYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8,
    torch.int16, torch.int32, torch.int64, torch.bool,
)  # fmt: skip

_DEEPEST = 4


@dataclass(frozen=True)
class Found:
    """A checkpoint's tensors, and how they were come by."""

    tensors: dict[str, Tensor]
    taken: tuple[str, ...]
    """Names of the dictionaries, from the outermost; none: the tensors lie at the top."""
    left_out: tuple[str, ...]
    """What else lies beside them and on the way to them."""
    prefix: str
    """What was cut off all names."""


def find(content: Any, part: str | None, size: int) -> Found:
    """The tensors in what a file of ``size`` bytes holds: in its ``part``, if one is named.

    Raises:
        ForeignError: there are none, or it is not clear which; or they are not as they should be.
    """
    taken, left_out = list[str](), list[str]()
    while True:
        here = _dictionary(content, taken)
        name = part if part is not None and not taken else _nest(here)
        if name is None:
            break
        if name not in here:
            raise ForeignError(f"has no part {name!r}; it has: {_some(here)}")
        if len(taken) == _DEEPEST:
            raise ForeignError(f"nests dictionaries too deep: {'.'.join(taken)}")
        left_out += [key for key in here if key != name]
        taken.append(name)
        content = here[name]
    tensors = {name: value for name, value in here.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ForeignError(f"holds no tensors where they are looked for; it has: {_some(here)}")
    left_out += [key for key in here if key not in tensors]
    _check(tensors, size)
    named, prefix = _cut(tensors)
    return Found(named, tuple(taken), tuple(left_out), prefix)


def _dictionary(content: Any, taken: list[str]) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        where = f"{'.'.join(taken)!r} is" if taken else "holds"
        raise ForeignError(f"{where} a {type(content).__name__}, and no dictionary of tensors")
    return {str(name): value for name, value in content.items()}


def _nest(here: Mapping[str, Any]) -> str | None:
    """The dictionary to look into: one of a usual name, or the only one that holds tensors."""
    inside = [name for name, value in here.items() if isinstance(value, Mapping)]
    for name in _NESTS:
        if name in inside:
            return name
    if any(isinstance(value, Tensor) for value in here.values()):
        return None
    holding = [n for n in inside if any(isinstance(v, Tensor) for v in here[n].values())]
    if len(holding) > 1:
        raise ForeignError(f"has tensors in {_some(holding)}; --part NAME says which to take")
    return holding[0] if holding else None


def _check(tensors: Mapping[str, Tensor], size: int) -> None:
    """Nothing is computed of a tensor before it is known to be no larger than the file."""
    said = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if said > size:
        raise ForeignError(f"declares tensors of {said:,} bytes, but has {size:,}")
    odd = [n for n, t in tensors.items() if t.dtype not in _DTYPES or t.layout != torch.strided]
    if odd:
        raise ForeignError(f"has tensors that are no plain numbers: {_some(odd)}")
    broken = [n for n, t in tensors.items() if not torch.isfinite(t).all()]
    if broken:
        raise ForeignError(f"has weights that are not finite: {_some(broken)}")


def _cut(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors without what all their names begin with, and what that was."""
    cut = ""
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        cut += prefix
    return tensors, cut


def _some(names: Mapping[str, Any] | list[str]) -> str:
    """The first few of many names; quoted, so that nothing in them can act on a terminal."""
    first = ", ".join(repr(name[:80]) for name in list(names)[:3])
    return first + (f" and {len(names) - 3} more" if len(names) > 3 else "")
