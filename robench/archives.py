"""Archives from elsewhere: what is in them is looked at before anything is taken out."""

import gzip
import math
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.errors import ForeignError

_CHUNK = 1 << 20

_START = 4096
"""Bytes of an array's file that its header is among."""

_PREAMBLE = 10
"""Bytes in front of a header: magic, version, and two with its length."""


@dataclass(frozen=True)
class Declared:
    """What an array in an .npz file says of itself: it may be anything."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    """Bytes that it has, with its header."""
    said: int
    """Bytes that it should have."""
    begins: int
    """Where its numbers do."""

    def check_size(self) -> None:
        """Raise unless all of it is there.

        Numpy makes room for as many numbers as a header asks for, whether or not they are there.
        """
        if self.said != self.size:
            raise ForeignError(f"{self.name} has {self.size:,} bytes, not {self.said:,}")


def declared(path: Path, most: int) -> list[Declared]:
    """What the arrays of an .npz file say of themselves; nothing but their headers is read.

    Raises:
        ForeignError: they would come to more than ``most`` bytes, or are in a newer format.
    """
    with zipfile.ZipFile(path) as archive:
        check_zip(archive, most)
        found = []
        for member in archive.infolist():
            with archive.open(member) as stream:
                found.append(_declared(member, stream.read(_START)))
    return found


def numbers(
    path: Path, most: int, check: Callable[[Declared], None]
) -> dict[str, npt.NDArray[Any]]:
    """What each array of an .npz file holds, in a row and by name; it cannot be written to.

    None is read that ``check`` raises at, or that is not as long as its header says.

    Raises:
        ForeignError: as ``declared`` does.
    """
    found = {}
    with zipfile.ZipFile(path) as archive:
        check_zip(archive, most)
        for member in archive.infolist():
            with archive.open(member) as stream:
                start = stream.read(_START)
                array = _declared(member, start)
                check(array)
                array.check_size()
                data = start + stream.read()
            name = array.name.removesuffix(".npy")
            found[name] = np.frombuffer(data, array.dtype, offset=array.begins)
    return found


def _declared(member: zipfile.ZipInfo, start: bytes) -> Declared:
    """Of an array whose file starts so."""
    begins = _PREAMBLE + int.from_bytes(start[_PREAMBLE - 2 : _PREAMBLE], "little")
    shape, dtype = _header(start[:begins])
    said = begins + math.prod(shape) * dtype.itemsize
    return Declared(member.filename, shape, dtype, member.file_size, said, begins)


@lru_cache(maxsize=64)
def _header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Numpy asks Python's compiler, and the files of a folder say the same thousands of times."""
    stream = BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ForeignError("it is of a format that robench does not write")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype


def check_packed(path: Path, most: int) -> None:
    """Look through a .gz, .tgz or .tar.gz file that is about to be unpacked.

    Raises:
        ForeignError: it comes to more than ``most`` bytes, or has a member that would be written
            outside of its folder or is neither a plain file nor a folder.
    """
    size = 0
    with gzip.open(path) as stream:  # first: a tar's own headers can be as large as its files
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise ForeignError(f"{path.name} unpacks to more than {most:,} bytes; not unpacked")
    if path.name.endswith((".tgz", ".tar.gz")):
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                _check_member(path.name, member)


def _check_member(archive: str, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        where = "would be written outside of the archive's folder"
        raise ForeignError(f"{archive}: {member.name!r} {where}; not unpacked")
    # A sparse file is long and takes no room in the archive.
    if not member.isdir() and (not member.isreg() or member.issparse()):
        what = "is a link, a device or another thing that no data set has"
        raise ForeignError(f"{archive}: {member.name!r} {what}; not unpacked")


def check_zip(archive: zipfile.ZipFile, most: int) -> None:
    """Raise when the members of a zip file would come to more than ``most`` bytes."""
    size = sum(member.file_size for member in archive.infolist())
    if size > most:
        raise ForeignError(f"its members would unpack to {size:,} bytes, over {most:,}")
