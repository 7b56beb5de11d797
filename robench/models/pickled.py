"""What a pickle would do, read off its instructions: nothing in it is run.

torch's own loader with ``weights_only`` refuses most of what is refused here; two things it does
not. Among what it allows are functions that make as much room as they are told to, and its reader
of files from before torch 1.6 makes room for what is declared before it looks whether it is there.
"""

import mmap
import pickletools
import re
from collections.abc import Iterator
from typing import IO, cast

from robench.errors import ForeignError

_PLAIN = {
    "collections.OrderedDict",
    "collections.Counter",  # of a scheduler, beside the weights
    "torch.Size",
    "torch.device",
    *(f"torch.{kind}Storage" for kind in (
        "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
    )),
    *(f"torch.{kind}" for kind in (
        "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
        "bool",
    )),
    *(f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "parameter")),
}  # fmt: skip
"""All that a file of tensors and plain values needs."""

_TENSOR = re.compile(r"torch\.(\w+Storage|storage\.\w+|_utils\._rebuild_\w+)")
"""Complex, quantised, sparse and other kinds."""

Stream = IO[bytes] | mmap.mmap
"""Both give no more than there is, however much is asked for."""

_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1"}
_NOTES = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}


def check(stream: Stream, most: int | None = None) -> None:
    """Look through one pickle, up to its end.

    With ``most``: tensors are kept as files from before torch 1.6 keep them, and the numbers
    declared for them come to no more than that.

    Raises:
        ForeignError: it calls for something that is not needed for tensors, or declares too much.
    """
    called, declared = list[str](), list[int | None]()
    before = [("", object())] * 3
    try:
        for name, argument in _steps(stream):
            if name == "called":
                called.append(str(argument))
            if name == "BINPERSID":
                declared.append(_declared(before))
            if name not in _NOTES:
                before = [*before[-2:], (name, argument)]
    except ValueError as error:  # pickletools' only kind
        raise ForeignError(f"is damaged, or no checkpoint: {error}") from error
    _refuse([name for name in called if name not in _PLAIN])
    if most is None:
        return
    if None in declared:
        raise ForeignError("does not describe its tensors as torch does")
    if (said := sum(map(int, filter(None, declared)))) > most:
        raise ForeignError(f"declares {said:,} numbers, more than it has bytes ({most:,})")


def _steps(stream: Stream) -> Iterator[tuple[str, object]]:
    """Instructions with their arguments; ``called`` for what stands for a function or class."""
    texts: list[str] = []
    for instruction, argument, _ in pickletools.genops(cast(IO[bytes], stream)):
        if instruction.name in ("GLOBAL", "INST"):
            yield "called", str(argument).replace(" ", ".")
        elif instruction.name == "STACK_GLOBAL":
            yield "called", ".".join(texts[-2:])
        elif instruction.name.startswith("EXT"):
            yield "called", f"extension {argument}"
        else:
            texts += [argument] if isinstance(argument, str) else []
            yield instruction.name, argument


def _declared(before: list[tuple[str, object]]) -> int | None:
    """Numbers of a tensor's storage: torch writes them just before the end of its description.

    None where it did not: then another number may be meant, which cannot be seen from here.
    """
    (number, value), *end = before
    told = number in _NUMBERS and [name for name, _ in end] == ["NONE", "TUPLE"]
    return int(str(value)) if told else None


def _refuse(called: list[str]) -> None:
    if not called:
        return
    if all(_TENSOR.fullmatch(name) for name in called):
        raise ForeignError(f"has tensors that are no plain numbers: {called[0]!r}")
    module = any(name.startswith("torch.nn.modules.") for name in called)
    what = "module" if module else "object"
    raise ForeignError(
        f"holds a pickled {what} ({called[0]!r}), which runs code when it is loaded; ask its "
        "authors for a state dict"
    )
