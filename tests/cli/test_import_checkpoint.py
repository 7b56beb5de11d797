"""``robench import-checkpoint``: what fits is taken over, all else is refused and nothing runs."""

import hashlib
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from robench.data.catalogue import facts
from robench.data.load import Data, load
from robench.models.catalogue import build
from robench.models.classifier import Network
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.checkpoint import restore
from robench.training.epochs import new_run
from robench.training.method import method
from robench.training.recipes import RECIPES
from tests.conftest import Outcome

Robench = Callable[..., Outcome]
Weights = dict[str, Tensor]
CPU = torch.device("cpu")
DIGITS = ("--model", "digitscnn-tiny", "--dataset", "digits")


def new() -> Network:
    return build("digitscnn-tiny", facts("digits"), normalise=False)


@pytest.fixture(scope="module")
def data() -> Data:
    return load("digits", Path(), CPU)


@pytest.fixture(scope="module")
def network(data: Data) -> Network:
    """Trained a little."""
    with seeded(0):
        model = new()
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for index in torch.randperm(len(data.train)).repeat(9).split(128):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(data.train.x(index)), data.train.y[index])
            loss.backward()
            optimizer.step()
    return model.eval()


@pytest.fixture
def weights(network: Network) -> Weights:
    """As somebody else keeps them: other names, no normalisation."""
    own = network.state_dict()
    return OrderedDict(
        (name.replace("body.", "features.").replace("head.", "fc."), own[name])
        for name in own
        if name not in ("mean", "std")
    )


@pytest.fixture
def named(network: Network) -> Weights:
    """With robench's names, from a network of its own without normalisation."""
    return {n: t for n, t in network.state_dict().items() if n not in ("mean", "std")}


def refused(done: Outcome, *said: str) -> None:
    """One line, before anything was written."""
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    for part in said:
        assert part in done.err
    assert not list(Path().rglob("*.safetensors.sha256"))


def test_what_is_imported_is_what_was_there(
    named: Weights, network: Network, data: Data, robench: Robench
) -> None:
    Path("a").mkdir()
    nested = {"epoch": 7, "state_dict": {f"module.{n}": t for n, t in named.items()}, "acc": 0.9}
    torch.save(nested, "a/net.pth.tar")
    done = robench("import-checkpoint", "a/net.pth.tar", *DIGITS)
    assert done.code == 0, done.err
    taken, mean, accuracy, path = done.out.splitlines()
    assert taken.startswith(f"took {len(named)} tensors from 'state_dict'; left out 'epoch', 'acc'")
    assert taken.endswith("cut 'module.' off their names")
    assert mean.startswith("the file has no mean and deviation: images stay in [0, 1]")
    assert accuracy.startswith("natural accuracy on 100 validation images of digits: 9")
    assert path == "a/net.pth.safetensors"
    assert done.err == ""
    sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert Path(f"{path}.sha256").read_text() == f"{sha256}  net.pth.safetensors\n"
    run = new_run(data, Threat("Linf", 0.1), RECIPES["digits"])
    model = restore(Path(path), method("natural"), new, run, 0, CPU)
    assert torch.equal(model(data.test.x()), network(data.test.x()))


def test_the_header_says_where_it_came_from(named: Weights, robench: Robench) -> None:
    torch.save(named, "net.pt")
    robench("import-checkpoint", "net.pt", *DIGITS, "--output", "mine.safetensors")
    with safe_open("mine.safetensors", "pt") as file:
        said = json.loads(file.metadata()["robench"])["imported"]
    assert said == {
        "file": "net.pt", "sha256": hashlib.sha256(Path("net.pt").read_bytes()).hexdigest(),
        "taken": "", "model": "digitscnn-tiny", "dataset": "digits", "normalise": False,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["new", "old", "safetensors", "half", "lightning", "compiled"])
def test_forms_that_are_taken(form: str, named: Weights, robench: Robench) -> None:
    if form == "safetensors":
        safetensors.torch.save_file(named, "net.bin")
    elif form == "old":
        torch.save({"net": named, "acc": 93.1}, "net.bin", _use_new_zipfile_serialization=False)
    elif form == "half":
        torch.save({n: t.half() if t.dtype.is_floating_point else t for n, t in named.items()},
                   "net.bin")  # fmt: skip
    elif form == "lightning":
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(3))], 0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1])
        inside = {f"model.module.{n}": nn.Parameter(t, requires_grad=False)
                  for n, t in named.items()}  # fmt: skip
        states = {"optimizer_states": [optimizer.state_dict()], "sched": schedule.state_dict()}
        torch.save({"state_dict": inside, "pytorch-lightning_version": "2.1", **states}, "net.bin")
    elif form == "compiled":
        torch.save({"swa": {f"_orig_mod.{n}": t for n, t in named.items()}}, "net.bin")
    else:
        torch.save(named, "net.bin")
    done = robench("import-checkpoint", "net.bin", *DIGITS)
    assert done.code == 0, done.err
    assert "images of digits: 9" in done.out
    assert Path("net.safetensors.sha256").is_file()


def test_without_a_model_names_stay(weights: Weights, robench: Robench) -> None:
    torch.save(weights, "net.pt")
    done = robench("import-checkpoint", "net.pt")
    assert done.code == 0
    assert "not compared with any network" in done.out
    found = safetensors.torch.load_file("net.safetensors")
    assert found.keys() == {f"model.{name}" for name in weights}


def test_other_names_only_by_shape_and_when_asked(weights: Weights, robench: Robench) -> None:
    torch.save(weights, "net.pt")
    refused(robench("import-checkpoint", "net.pt", *DIGITS),
            "net.pt does not fit the network: 22 missing ('body.0.weight', 'body.1.weight', "
            "'body.1.bias' and 19 more); 22 not the network's ('features.0.weight', ",
            "; --by-shape takes them in order")  # fmt: skip
    done = robench("import-checkpoint", "net.pt", *DIGITS, "--by-shape")
    assert done.code == 0, done.err
    assert "matched 19 tensors by order and shape: 'features.0.weight' is 'body.0.weight'" in (
        done.out
    )
    assert "3 counters of batch normalisation are 0" in done.out
    assert "images of digits: 9" in done.out


@pytest.mark.parametrize("order", ["alphabetical", "short", "long"])
def test_shapes_in_another_order_are_no_match(
    order: str, weights: Weights, robench: Robench
) -> None:
    found = dict(sorted(weights.items())) if order == "alphabetical" else dict(weights)
    if order == "short":
        del found["fc.bias"]
    if order == "long":
        found["fc.more"] = torch.ones(10)
    torch.save(found, "net.pt")
    refused(robench("import-checkpoint", "net.pt", *DIGITS, "--by-shape"),
            "net.pt cannot be matched by shape: ")  # fmt: skip


def test_guessing_is_said(network: Network, robench: Robench) -> None:
    torch.save({n: torch.zeros_like(t) for n, t in network.state_dict().items()}, "net.pt")
    done = robench("import-checkpoint", "net.pt", *DIGITS)
    assert done.code == 0
    assert "mean and deviation are the file's own" in done.out
    assert done.err.startswith("warning: that is no better than guessing among 10 classes: ")


def test_normalisation_is_filled_in_and_said(robench: Robench) -> None:
    network = build("resnet20", facts("cifar10"), normalise=True)
    own = {n: t for n, t in network.state_dict().items() if n not in ("mean", "std")}
    torch.save(own, "net.pt")
    take = ("import-checkpoint", "net.pt", "--model", "resnet20", "--dataset", "cifar10", "--force")
    done = robench(*take)
    assert "those of cifar10 are filled in (0.4914, 0.4822, 0.4465); --no-normalise" in done.out
    assert "warning: natural accuracy was not measured: cifar10: " in done.err
    assert safetensors.torch.load_file("net.safetensors")["model.std"].shape == (1, 3, 1, 1)
    plain = robench(*take, "--no-normalise")
    assert "images stay in [0, 1]; --normalise if that is wrong" in plain.out
    assert safetensors.torch.load_file("net.safetensors")["model.std"].tolist() == [[[[1.0]]]]


def test_nothing_is_overwritten_unasked(named: Weights, robench: Robench) -> None:
    torch.save(named, "net.pt")
    safetensors.torch.save_file(named, "other.safetensors")
    Path("net.safetensors").write_bytes(b"mine")
    refused(robench("import-checkpoint", "net.pt"), "is there already; --force replaces it")
    assert Path("net.safetensors").read_bytes() == b"mine"
    refused(robench("import-checkpoint", "other.safetensors", "--force"), "give --output")
    refused(robench("import-checkpoint", "net.pt", "--output", "x.pt"), "does not end with")
    assert robench("import-checkpoint", "net.pt", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--model digitscnn-tiny", "--model and --dataset go together"),
        ("--by-shape", "--model and --dataset go together"),
        ("--model digitscn --dataset digits", "no model is called 'digitscn'; did you mean"),
        ("--model digitscnn --dataset ../../x", "no dataset is called '../../x'"),
        ("--model smallcnn --dataset digits", "model 'smallcnn' takes 28x28 images"),
        ("--part nets", "net.pt has no part 'nets'; it has: 'body.0.weight', "),
    ],
)
def test_options_that_make_no_sense(
    arguments: str, message: str, named: Weights, robench: Robench
) -> None:
    torch.save(named, "net.pt")
    refused(robench("import-checkpoint", "net.pt", *arguments.split()), message)


def test_which_part(named: Weights, robench: Robench) -> None:
    torch.save({"first": named, "second": named}, "net.pt")
    refused(robench("import-checkpoint", "net.pt"),
            "net.pt has tensors in 'first', 'second'; --part NAME says which")  # fmt: skip
    done = robench("import-checkpoint", "net.pt", "--part", "second")
    assert "tensors from 'second'; left out 'first'" in done.out


def test_weights_that_do_not_fit(named: Weights, robench: Robench) -> None:
    for name, tensor, message in (
        ("head.bias", torch.ones(9), "1 of another shape ('head.bias' (9,) and not (10,))"),
        ("head.bias", torch.ones(10).int(), "1 of another type ('head.bias' torch.int32 and not "),
        ("head.bias", torch.full((10,), torch.nan), "are not finite: 'head.bias'"),
        ("extra\x1b[31m\n", torch.ones(1), r"1 not the network's ('extra\x1b[31m\n')"),
        ("head.bias", torch.ones(10, dtype=torch.cfloat), "no plain numbers: 'torch.ComplexFloatS"),
    ):
        torch.save({**named, name: tensor}, "net.pt")
        refused(robench("import-checkpoint", "net.pt", *DIGITS), "net.pt ", message)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("boom").absolute(),)


def write_bomb(form: str) -> None:
    bomb = {"state_dict": {"w": torch.ones(2)}, "args": Bomb()}
    if form in ("zip", "old"):
        torch.save(bomb, "net.pt", _use_new_zipfile_serialization=form == "zip")
    elif form == "renamed":
        torch.save(bomb, "net.safetensors")
        Path("net.safetensors").rename("net.pt")
    else:
        Path("net.pt").write_bytes(pickle.dumps(bomb["args"], protocol=int(form)))


@pytest.mark.parametrize("form", ["zip", "old", "renamed", "2", "3", "4", "5"])
def test_a_pickle_that_would_run_code_does_not(form: str, robench: Robench) -> None:
    write_bomb(form)
    done = robench("import-checkpoint", "net.pt", "--output", "out.safetensors")
    refused(done, "net.pt holds a pickled object ('", "which runs code when it is loaded; ask its")
    assert "Path" in done.err or "getattr" in done.err
    assert not Path("boom").exists()
    if form in ("zip", "old"):  # it is a bomb indeed
        torch.load("net.pt", weights_only=False)
        assert Path("boom").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_is_refused(zipped: bool, robench: Robench) -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    torch.save({"net": module}, "net.pt", _use_new_zipfile_serialization=zipped)
    refused(
        robench("import-checkpoint", "net.pt"),
        "net.pt holds a pickled module ('torch.nn.modules.container.Sequential'), which runs code "
        "when it is loaded; ask its authors for a state dict",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>not found</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a git-LFS pointer"),
        (b"\x1f\x8b\x08\0", "is a packed archive; unpack it"),
        (b"hello, this is text", "is neither a checkpoint of torch nor safetensors"),
        (b"PK\x03\x04 and no more", "is cut off or damaged: File is not a zip file"),
        (b"\x80\x02", "is damaged, or no checkpoint"),
        (b"cos\nsystem\n(S'touch boom'\ntR.", "is neither a checkpoint of torch nor safetensors"),
        ((2**60).to_bytes(8, "little") + b"{}", "is damaged, or no safetensors"),
    ],
)
def test_files_that_are_no_checkpoint(content: bytes, message: str, robench: Robench) -> None:
    Path("net.pt").write_bytes(content)
    refused(robench("import-checkpoint", "net.pt"), f"net.pt {message}")
    assert not Path("boom").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_or_changed_checkpoint_is_refused(
    zipped: bool, named: Weights, robench: Robench
) -> None:
    torch.save(named, "whole.pt", _use_new_zipfile_serialization=zipped)
    whole = Path("whole.pt").read_bytes()
    for share in (0.2, 0.7, 0.99):
        Path("net.pt").write_bytes(whole[: int(share * len(whole))])
        refused(robench("import-checkpoint", "net.pt", *DIGITS), "net.pt ")
    if zipped:
        middle = len(whole) // 2
        Path("net.pt").write_bytes(whole[:middle] + b"\xff\xfe" + whole[middle + 2 :])
        refused(robench("import-checkpoint", "net.pt", *DIGITS), "net.pt is damaged: ")


def test_what_holds_no_tensors(robench: Robench) -> None:
    for content, message in (
        ({"epoch": 1}, "holds no tensors where they are looked for; it has: 'epoch'"),
        ([torch.ones(2)], "holds a list, and no dictionary of tensors"),
        (torch.ones(2), "holds a Tensor, and no dictionary of tensors"),
        ({"args": np.float64(1)}, "holds a pickled object ('numpy"),
    ):
        torch.save(content, "net.pt")
        refused(robench("import-checkpoint", "net.pt"), f"net.pt {message}")


def test_a_dictionary_inside_itself_has_an_end(robench: Robench) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    torch.save(content, "net.pt")
    refused(robench("import-checkpoint", "net.pt"), "nests dictionaries too deep: model.model")


def rezipped(change: Callable[[zipfile.ZipFile, str, bytes], None], first: bytes = b"") -> None:
    """whole.pt member by member as net.pt."""
    with zipfile.ZipFile("whole.pt") as old, Path("net.pt").open("wb") as file:
        file.write(first)
        with zipfile.ZipFile(file, "w") as new:
            for name in old.namelist():
                change(new, name, old.read(name))


def test_zips_that_torch_does_not_write(named: Weights, robench: Robench) -> None:
    torch.save(named, "whole.pt")
    packed = zipfile.ZIP_DEFLATED
    rezipped(lambda new, name, content: new.writestr(name, content, packed))
    refused(robench("import-checkpoint", "net.pt"), "net.pt is a zip file with packed members")
    rezipped(lambda new, name, content: new.writestr(name, content), first=b"PK\x03\x04 before")
    refused(robench("import-checkpoint", "net.pt"), "net.pt is a zip file that begins with some")
    rezipped(lambda new, name, content: new.writestr(name.replace("data.pkl", "x"), content))
    refused(robench("import-checkpoint", "net.pt"), "net.pt is a zip file, but no checkpoint is in")
    with zipfile.ZipFile("net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")
    refused(robench("import-checkpoint", "net.pt"), "net.pt is a TorchScript archive, a program;")


def test_members_of_a_zip_that_lie_on_each_other(robench: Robench) -> None:
    with zipfile.ZipFile("net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"x" * 5000)
        for number in range(99):
            again = zipfile.ZipInfo(f"net/data/{number}")
            whole = archive.getinfo("net/data.pkl")
            again.header_offset, again.CRC = whole.header_offset, whole.CRC
            again.file_size = again.compress_size = whole.file_size
            archive.filelist.append(again)
    refused(robench("import-checkpoint", "net.pt"), "its members would unpack to 500,000 bytes")


def test_tensors_larger_than_the_file(robench: Robench) -> None:
    torch.save({"w": torch.ones(1).expand(2**20, 2**20)}, "net.pt")
    refused(robench("import-checkpoint", "net.pt"), "declares tensors of 4,398,046,511,104 bytes")
    torch.save({"w": torch.ones(5000)}, "whole.pt")
    short = "whole/data/0"
    rezipped(lambda new, name, content: new.writestr(name, b"" if name == short else content))
    refused(robench("import-checkpoint", "net.pt"), "net.pt cannot be read: RuntimeError: ")


def test_an_old_file_that_declares_more_than_it_has(robench: Robench) -> None:
    torch.save({"w": torch.ones(70_000)}, "net.pt", _use_new_zipfile_serialization=False)
    content = Path("net.pt").read_bytes()
    count, more = ((70_000).to_bytes(4, "little"), (2**31 - 1).to_bytes(4, "little"))
    Path("net.pt").write_bytes(content.replace(b"J" + count, b"J" + more))
    refused(robench("import-checkpoint", "net.pt"), "declares 2,147,483,647 numbers, more than")
    Path("net.pt").write_bytes(content.replace(b"J" + count + b"N", b"J" + count + b"NN"))
    refused(robench("import-checkpoint", "net.pt"), "net.pt ")
    one = content.replace(b"J" + count + b"N", b"q\x7fh\x7fN")
    Path("net.pt").write_bytes(one)
    refused(robench("import-checkpoint", "net.pt"), "does not describe its tensors as torch does")


def test_room_that_a_pickle_asks_for_is_not_made(robench: Robench) -> None:
    class Room:
        def __reduce__(self) -> tuple[object, tuple[int]]:
            return bytearray, (10**15,)

    torch.save({"w": torch.ones(1), "x": Room()}, "net.pt")
    refused(robench("import-checkpoint", "net.pt"), "holds a pickled object ('__builtin__.byte")
