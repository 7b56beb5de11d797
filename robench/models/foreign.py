"""Checkpoints from elsewhere: their tensors alone are read, after a look at what the file is.

Nothing in them is run, and no more room is made than the file takes itself.
"""

import io
import mmap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from robench.archives import check_zip
from robench.errors import ForeignError
from robench.models import pickled

_SIGNS = (
    (b"version https://git-lfs", "is a git-LFS pointer and not the file; git lfs pull fetches it"),
    (b"<", "is a web page, saved in the place of a checkpoint; open its address in a browser"),
    (b"\x1f\x8b", "is a packed archive; unpack it and import the checkpoint that is in it"),
)
"""How files begin that are often taken for checkpoints."""

_PICKLES_BEFORE = 3
"""In files from before torch 1.6: a magic number, a version and facts of the machine."""


@contextmanager
def blamed(path: Path) -> Iterator[None]:
    """Begin what goes wrong with a foreign file with its name."""
    try:
        yield
    except ForeignError as error:
        raise ForeignError(f"{path} {error}") from error
    except OSError as error:
        raise ForeignError(f"{path} cannot be read: {error.strerror or error}") from error


def read(path: Path) -> Any:
    """What a checkpoint holds: a dictionary of tensors, or one that has such a dictionary in it.

    Raises:
        ForeignError: it is no checkpoint, is damaged, or holds more than tensors and plain values.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise ForeignError("is empty")
    for sign, what in _SIGNS:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(sign):
            raise ForeignError(what)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if head[8:9] == b"{":
        return _safetensors(path)
    if head.startswith(b"\x80"):
        return _pickled(path)
    raise ForeignError("is neither a checkpoint of torch nor safetensors")


def _zipped(path: Path) -> Any:
    """What torch has written since 1.6: a zip file of a pickle and of bytes for each tensor."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = _description(archive, path.stat().st_size)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise ForeignError(f"is cut off or damaged: {error}") from error
    pickled.check(io.BytesIO(content))
    return _load(path, mapped=True)  # mapped: a tensor is a part of the file or an error


def _description(archive: zipfile.ZipFile, size: int) -> bytes:
    """The pickle in the archive, if all is as torch writes it."""
    members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ForeignError("is a TorchScript archive, a program; ask its authors for a state dict")
    found = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(found) != 1 or found[0].filename.count("/") != 1:
        raise ForeignError("is a zip file, but no checkpoint is in it")
    # torch neither packs its members nor writes anything before them.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ForeignError("is a zip file with packed members, which torch does not write")
    if min(member.header_offset for member in members) != 0:
        raise ForeignError("is a zip file that begins with something else")
    check_zip(archive, size)
    if (damaged := archive.testzip()) is not None:
        raise ForeignError(f"is damaged: the checksum of {damaged!r} is wrong")
    return archive.read(found[0])


def _pickled(path: Path) -> Any:
    """What torch wrote before 1.6: pickles, one after the other, and the tensors' bytes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for _ in range(_PICKLES_BEFORE):
            pickled.check(whole)
        pickled.check(whole, len(whole))
        pickled.check(whole)  # the names of the tensors that follow
    return _load(path, mapped=False)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Its library checks types, shapes and places in the file before it makes room for tensors."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, RuntimeError, KeyError, MemoryError) as error:
        raise ForeignError(f"is damaged, or no safetensors: {error}") from error


def _load(path: Path, *, mapped: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file fails in as many ways as there are instructions
        # torch goes on to advise its readers to load the file with code and all.
        said = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
        raise ForeignError(f"cannot be read: {type(error).__name__}: {said}") from error
