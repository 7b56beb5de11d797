"""Images of an evaluation read back, whole or not at all."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench.analysis.adversarial import distances, read
from robench.errors import StoreError
from robench.evaluation.examples import Examples, beside, pack
from robench.settings import Plain

RECORD = Path("best-quick-Linf-0.25-abcd.json")


def example(**changes: Any) -> Examples:
    """Four grey images of 3x3, of which the second and the fourth fell."""
    rng = np.random.default_rng(0)
    clean = rng.uniform(0.25, 0.75, (4, 1, 3, 3)).astype(np.float32)
    moved = rng.uniform(-0.25, 0.25, (2, 1, 3, 3)).astype(np.float32)
    parts: dict[str, Any] = {
        "clean": clean, "y": np.array([0, 1, 2, 0]), "natural": np.array([3, 1, 2, 0]),
        "position": np.array([1, 3]), "adversarial": clean[[1, 3]] + moved,
        "labels": np.array([2, 3]), "attack": np.array([1, 0]), "attacks": ("one", "two"),
        "first": 4,
    }  # fmt: skip
    return Examples(**parts | changes)


def written(folder: Path, content: bytes, **changes: Any) -> tuple[Path, Plain]:
    """A file of images, and a record that speaks of it."""
    said = {"first": 4, "fell": 2, "sha256": hashlib.sha256(content).hexdigest()}
    path = folder / RECORD
    beside(path).write_bytes(content)
    record = {"status": "ok", "n": 40, "order": ["natural", "one", "two"], "images": said,
              "identity": {"norm": "Linf", "eps": "1/4"}}  # fmt: skip
    return path, record | changes


def test_what_was_packed_is_read(tmp_path: Path) -> None:
    whole = example()
    path, record = written(tmp_path, pack(whole, {"suite": "quick"}))
    assert beside(path).name == "best-quick-Linf-0.25-abcd.images.safetensors"
    found = read(path, record)
    for name, value in vars(whole).items():
        assert np.array_equal(getattr(found, name), value), name
        if isinstance(value, np.ndarray):
            assert getattr(found, name).dtype == value.dtype


def test_packing_twice_gives_the_same_bytes() -> None:
    assert pack(example(), {"b": 1, "a": 2}) == pack(example(), {"a": 2, "b": 1})


def test_nothing_fell(tmp_path: Path) -> None:
    none, no_images = np.zeros(0, np.int64), np.zeros((0, 1, 3, 3), np.float32)
    kept = example(position=none, labels=none, attack=none, adversarial=no_images)
    path, record = written(tmp_path, pack(kept, {}))
    record["images"]["fell"] = 0
    assert len(distances(read(path, record), "L2")) == 0


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_bit_that_flipped_is_noticed(at: int, tmp_path: Path) -> None:
    path, record = written(tmp_path, pack(example(), {}))
    content = bytearray(beside(path).read_bytes())
    content[at] ^= 1
    beside(path).write_bytes(content)
    with pytest.raises(StoreError, match=r"images\.safetensors is missing or damaged"):
        read(path, record)
    beside(path).unlink()
    with pytest.raises(StoreError, match=r"images\.safetensors is missing or damaged"):
        read(path, record)


@pytest.mark.parametrize("change", [{"images": None}, {"status": "failed"}])
def test_an_evaluation_without_images(change: Plain, tmp_path: Path) -> None:
    path, record = written(tmp_path, pack(example(), {}), **change)
    with pytest.raises(StoreError, match="has no images; robench run --save-adversarial"):
        read(path, record)


def pixel(value: float, name: str = "adversarial") -> Plain:
    pictures = getattr(example(), name).copy()
    pictures[1, 0, 2, 1] = value
    return {name: pictures}


WRONG: list[tuple[dict[str, Any], str]] = [
    (pixel(np.nan), "adversarial has pixels outside of [0, 1]"),
    (pixel(1.01), "adversarial has pixels outside of [0, 1]"),
    (pixel(-1e-3, "clean"), "clean has pixels outside of [0, 1]"),
    (pixel(np.inf, "clean"), "clean has pixels outside of [0, 1]"),
    ({"clean": example().clean.astype(np.float64)}, "clean is float64"),
    ({"clean": example().clean[:3]}, "clean is float32 of shape (3, 1, 3, 3)"),
    ({"clean": example().clean[:, 0]}, "clean is float32 of shape (4, 3, 3)"),
    ({"adversarial": example().adversarial[..., :2]}, "adversarial is float32 of shape"),
    ({"labels": np.array([2])}, "labels is int64 of shape (1,)"),
    ({"y": np.array([0.0, 1, 2, 0])}, "y is float64"),
    ({"position": np.array([3, 1])}, "positions do not ascend"),
    ({"position": np.array([1, 4])}, "positions do not ascend, or are of no image"),
    ({"position": np.array([-1, 3])}, "positions do not ascend, or are of no image"),
    ({"attack": np.array([0, 2])}, "an attack that its suite does not have"),
    ({"attacks": ("two", "one")}, "its header is not what its record says"),
    ({"first": 5}, "its header is not what its record says"),
    ({"natural": np.array([3, 1, -2, 0])}, "a label below 0"),
    ({"labels": np.array([1, 3])}, "wrong before, or is right still"),
    ({"natural": np.array([3, 0, 2, 0])}, "wrong before, or is right still"),
    ({"adversarial": 1 - example().adversarial.round()}, "outside of the threat model"),
]


@pytest.mark.parametrize(("change", "problem"), WRONG)
def test_what_makes_no_sense_is_not_used(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path, record = written(tmp_path, pack(example(**change), {}))
    with pytest.raises(StoreError, match="is not as it should be: ") as error:
        read(path, record)
    assert problem in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, pack(example(), {})[:200]])
def test_what_is_no_such_file_is_not_used(content: bytes, tmp_path: Path) -> None:
    path, record = written(tmp_path, content)
    with pytest.raises(StoreError, match="cannot be read: "):
        read(path, record)


def test_distances_are_those_of_the_norm() -> None:
    found = example()
    flat = (found.adversarial.astype(float) - found.clean[[1, 3]]).reshape(2, -1)
    for norm, order in (("Linf", np.inf), ("L2", 2), ("L1", 1)):
        expected = np.linalg.norm(flat, order, axis=1)
        assert np.allclose(distances(found, norm), expected, rtol=1e-12)
    assert np.isnan(distances(found, "flow")).all()
