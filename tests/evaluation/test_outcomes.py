"""Files of outcomes from elsewhere: refused before room is made for what they declare."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from robench.errors import StoreError
from robench.evaluation import outcomes
from robench.evaluation.outcomes import Outcomes, pack, unpack

ONES = np.ones(99, bool)
WHOLE = pack(Outcomes({"natural": ONES}, np.zeros(99, int), np.arange(99), ONES))


def declared(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    """An array's file that says what it likes of itself."""
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def changed(path: Path, **members: bytes) -> Path:
    """A whole file of outcomes, but for some members."""
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as old, zipfile.ZipFile(path, "w") as new:
        kept = {name: old.read(name) for name in old.namelist()}
        for name, content in (kept | {f"{n}.npy": c for n, c in members.items()}).items():
            new.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (declared((2**60,), "<i4", b""), "y.npy is no list of numbers, or too long"),
        (declared((2**20,), "<i4", b""), "y.npy is no list of numbers, or too long"),
        (declared((900_000,), "<i4", bytes(400)), "y.npy has 528 bytes, not 3,600,128"),
        (declared((99,), "<i4", bytes(400)), "y.npy has 528 bytes, not 524"),
        (declared((9, 11), "<i4", bytes(396)), "y.npy is no list of numbers"),
        (declared((99,), "<U9999999", b""), "y.npy is no list of numbers"),
        (declared((99,), "|O", b"cos\nsystem\n(S'touch boom'\ntR."), "y.npy is no list of numbers"),
        (b"\x93NUMPY\x02\x00" + bytes(200), "of a format that robench does not write"),
        (b"nothing like it", "magic string is not correct"),
    ],
)
def test_what_an_array_declares_is_not_believed(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"a\.npz cannot be read: ") as error:
        unpack(changed(tmp_path / "a.npz", y=content))
    assert message in str(error.value)
    assert not Path("boom").exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_MOST_BYTES", 100_000)
    path = changed(tmp_path / "a.npz", more=declared((200_000,), "|u1", bytes(200_000)))
    assert path.stat().st_size < 2000
    with pytest.raises(StoreError, match="its members would unpack to 201,"):
        unpack(path)


@pytest.mark.parametrize("name", ["stands.natural", "carried", "origin"])
def test_bits_of_fewer_images_than_labels(name: str, tmp_path: Path) -> None:
    dtype = "<i4" if name == "origin" else "|u1"
    path = changed(
        tmp_path / "a.npz", **{name: declared((2,), dtype, bytes(2 if dtype == "|u1" else 8))}
    )
    with pytest.raises(
        StoreError, match=r"a\.npz (cannot be read: bits of shape|holds no outcomes)"
    ):
        unpack(path)


def test_unchanged_it_is_read(tmp_path: Path) -> None:
    assert unpack(changed(tmp_path / "a.npz")).worst.all()
