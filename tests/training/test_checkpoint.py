"""Weights as files: what comes back is what was trained."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from robench.check import tiny
from robench.data.load import Data
from robench.errors import StoreError
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.epochs import new_run
from robench.training.method import method
from robench.training.train import Trained, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(
        method("madry"), tiny.classifier, tiny.data(), tiny.RECIPE, Threat("Linf", 0.03), 0,
        lambda event: None,
    )  # fmt: skip


@pytest.fixture
def path(trained: Trained, tmp_path: Path) -> Path:
    file = tmp_path / "best.safetensors"
    file.write_bytes(to_bytes(trained.best, {"identity": {"recipe": {"lr": 0.1}}}))
    return file


def test_the_restored_model_is_the_trained_one(path: Path, trained: Trained, data: Data) -> None:
    run = new_run(data, Threat("Linf", 0.03), tiny.RECIPE)
    model = restore(path, method("madry"), tiny.classifier, run, 0, CPU)
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained.best.tensors[f"model.{name}"])
    natural = (model(data.validation.x()).argmax(1) == data.validation.y).float().mean().item()
    assert natural == trained.best.validation.natural


def test_configuration_and_normalisation_are_inside(path: Path) -> None:
    with safe_open(path, "pt") as file:
        assert '"lr": 0.1' in file.metadata()["robench"]
        assert {"model.mean", "model.std"} <= set(file.keys())


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_file_that_does_not_fit_is_refused(damage: str, path: Path, data: Data) -> None:
    content = path.read_bytes()
    if damage == "other":
        import safetensors.torch

        path.write_bytes(safetensors.torch.save({"model.head.weight": torch.zeros(2, 2)}))
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    run = new_run(data, Threat("Linf", 0.03), tiny.RECIPE)
    with pytest.raises(StoreError, match=r"best.safetensors does not fit its cell"):
        restore(path, method("madry"), tiny.classifier, run, 0, CPU)


def header(**tensors: tuple[str, list[int], list[int]]) -> bytes:
    """The beginning of a safetensors file that says what it likes of its tensors."""
    said = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": place}
        for name, (dtype, shape, place) in tensors.items()
    }
    text = json.dumps(said).encode()
    return len(text).to_bytes(8, "little") + text


FOUR = ("F32", [4], [0, 16])


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param((2**60).to_bytes(8, "little") + b"{}", id="header of 2^60 bytes"),
        pytest.param((90_000_000).to_bytes(8, "little") + b"{}", id="header of 90 MB"),
        pytest.param(header(a=FOUR, b=FOUR), id="two in one place"),
        pytest.param(header(a=("F32", [4], [16, 32])), id="a hole"),
        pytest.param(header(a=("F32", [8], [0, 32])), id="beyond the end"),
        pytest.param(header(a=("X9", [4], [0, 16])), id="no type"),
        pytest.param(header(a=("F6_E2M3", [4], [0, 3])), id="a type that torch has not"),
        pytest.param(header(a=("F32", [2**60], [0, 16])), id="2^60 numbers"),
        pytest.param(header(a=("F32", [2**62, 4, 4], [0, 16])), id="more than can be counted"),
        pytest.param(header(a=("F32", [-4], [0, 16])), id="negative"),
        pytest.param((100_000).to_bytes(8, "little") + b"[" * 100_000, id="deep"),
    ],
)
def test_what_a_header_declares_is_not_believed(begin: bytes, tmp_path: Path, data: Data) -> None:
    path = tmp_path / "best.safetensors"
    path.write_bytes(begin + bytes(16))
    run = new_run(data, Threat("Linf", 0.03), tiny.RECIPE)
    with pytest.raises(StoreError, match=r"best.safetensors does not fit its cell: ") as error:
        restore(path, method("madry"), tiny.classifier, run, 0, CPU)
    assert "\n" not in str(error.value)
