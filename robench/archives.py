"""Archives from elsewhere: what is in them is looked at before anything is taken out."""

import gzip
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from robench.errors import ForeignError

_CHUNK = 1 << 20


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
