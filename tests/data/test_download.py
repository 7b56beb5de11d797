"""Archives of data sets: looked through before they are unpacked, whatever their MD5."""

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from robench.data import download
from robench.data.load import load
from robench.errors import DataError

CPU = torch.device("cpu")
Patch = pytest.MonkeyPatch
AsCifar = Callable[..., Path]
Member = tuple[tarfile.TarInfo, bytes]


def plain(name: str, content: bytes = b"x") -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def odd(name: str, kind: bytes, link: str = "") -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


def packed(path: Path, members: Iterable[Member]) -> str:
    """Write an archive; its MD5."""
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return md5(path)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def as_cifar(served: str, tmp_path: Path, monkeypatch: Patch) -> AsCifar:
    """How to offer an archive with these members as CIFAR-10's; with a wrong MD5 on demand."""

    def offer(members: Iterable[Member], known: str | None = None) -> Path:
        path = tmp_path / "mirror.tgz"
        found, cifar = packed(path, members), torchvision.datasets.CIFAR10
        monkeypatch.setattr(cifar, "url", f"{served}/{path.name}")
        monkeypatch.setattr(cifar, "tgz_md5", known or found)
        return path

    return offer


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


HOSTILE: dict[str, list[Member]] = {
    "../../outside": [plain("../../outside")],
    "/tmp/robench-outside": [plain("/tmp/robench-outside")],
    "cifar-10-batches-py/../../outside": [plain("cifar-10-batches-py/../../outside")],
    "..\\\\outside": [plain("..\\outside")],
    "inner": [odd("inner", tarfile.SYMTYPE, ".."), plain("inner/outside")],
    "hard": [odd("hard", tarfile.LNKTYPE, "../../secret"), plain("hard", b"changed")],
    "here": [plain("there"), odd("here", tarfile.SYMTYPE, "there")],
    "pipe": [odd("pipe", tarfile.FIFOTYPE)],
    "device": [odd("device", tarfile.CHRTYPE)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_named_and_nothing_is_unpacked(
    name: str, as_cifar: AsCifar, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("mine")
    as_cifar([plain("fine"), *HOSTILE[name]])
    root = tmp_path / "a" / "b" / "data"
    before = everything(tmp_path)
    with pytest.raises(DataError, match="cifar10 could not be downloaded to ") as error:
        load("cifar10", root, CPU, download=True)
    assert f"'{name}' " in str(error.value)
    assert "not unpacked" in str(error.value)
    assert "\n" not in str(error.value)
    left = {"a", "a/b", "a/b/data", "a/b/data/cifar-10-python.tar.gz"}
    assert everything(tmp_path) == before | left
    assert (tmp_path / "secret").read_text() == "mine"
    assert not Path("/tmp/robench-outside").exists()


def test_bombs_are_not_unpacked(
    served: str, as_cifar: AsCifar, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(download, "_MB", 1000)  # 200 kB for CIFAR, 50 for MNIST
    as_cifar([plain("fine"), plain("bomb", bytes(300_000))])
    with pytest.raises(DataError, match="unpacks to more than 200,000 bytes; not unpacked"):
        load("cifar10", tmp_path / "data", CPU, download=True)
    mnist, file = torchvision.datasets.MNIST, tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(bytes(60_000)))
    monkeypatch.setattr(mnist, "mirrors", [f"{served}/"])
    monkeypatch.setattr(mnist, "resources", [(file.name, md5(file))])
    with pytest.raises(DataError, match="unpacks to more than 50,000 bytes; not unpacked"):
        load("mnist", tmp_path / "data", CPU, download=True)
    assert everything(tmp_path / "data") == {
        "cifar-10-python.tar.gz", "MNIST", "MNIST/raw", f"MNIST/raw/{file.name}",
    }  # fmt: skip


def test_a_file_longer_than_it_takes_room(as_cifar: AsCifar, tmp_path: Path) -> None:
    member = tarfile.TarInfo("sparse")
    member.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**15)}
    as_cifar([(member, b"")])
    with pytest.raises(DataError, match="'sparse' is a link, a device or another thing"):
        load("cifar10", tmp_path / "data", CPU, download=True)


def test_a_wrong_md5_is_never_unpacked(as_cifar: AsCifar, tmp_path: Path) -> None:
    as_cifar([plain("cifar-10-batches-py/data_batch_1")], "0" * 32)
    with pytest.raises(DataError, match=r"mirror\.tgz: File not found or corrupted"):
        load("cifar10", tmp_path / "data", CPU, download=True)
    assert everything(tmp_path / "data") == {"cifar-10-python.tar.gz"}


@pytest.fixture
def batches(monkeypatch: Patch) -> Callable[[], dict[str, bytes]]:
    """CIFAR-10's files with ten images each; torchvision takes them for the official ones."""
    rng, cifar = np.random.default_rng(0), torchvision.datasets.CIFAR10
    names = [name for name, _ in cifar.train_list + cifar.test_list]

    def made() -> dict[str, bytes]:
        files = {
            name: pickle.dumps(
                {"data": rng.integers(0, 256, (10, 3072), np.uint8), "labels": list(range(10))}
            )
            for name in names
        }
        files["batches.meta"] = pickle.dumps({"label_names": [str(k) for k in range(10)]})
        sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
        monkeypatch.setattr(cifar, "train_list", [[name, sums[name]] for name in names[:5]])
        monkeypatch.setattr(cifar, "test_list", [[name, sums[name]] for name in names[5:]])
        monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": sums["batches.meta"]})
        return files

    return made


def test_cifar_is_downloaded_and_unpacked(
    batches: Callable[[], dict[str, bytes]], as_cifar: AsCifar, tmp_path: Path
) -> None:
    folder = "cifar-10-batches-py"
    members = [plain(f"./{folder}/{name}", content) for name, content in batches().items()]
    archive = as_cifar([odd(folder, tarfile.DIRTYPE), *members])
    found = load("cifar10", tmp_path / "data", CPU, download=True)
    assert (len(found.train), len(found.validation), len(found.test)) == (45, 5, 10)
    archive.unlink()
    assert load("cifar10", tmp_path / "data", CPU, download=True).digest == found.digest
    # What is damaged is unpacked again from the archive that is there.
    (tmp_path / "data" / folder / "data_batch_3").write_bytes(b"")
    assert load("cifar10", tmp_path / "data", CPU, download=True).digest == found.digest


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_pickle_that_is_not_cifars_is_not_loaded(
    name: str, batches: Callable[[], dict[str, bytes]], tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "boom",)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file, content in batches().items():
        (folder / file).write_bytes(pickle.dumps(Bomb()) if file == name else content)
    with pytest.raises(DataError, match="cifar-10-batches-py is damaged or incomplete"):
        load("cifar10", tmp_path, CPU)
    assert not (tmp_path / "boom").exists()
