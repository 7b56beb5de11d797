"""Extra training images: what is read from a file, what is refused, and what a grid makes of it."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor

from robench.check import tiny
from robench.data import extra
from robench.data.load import Data, load, with_extra
from robench.errors import DataError
from robench.plan import plan
from robench.store.cell import Cell
from robench.store.grid import Request, choices
from robench.threat import Threat
from robench.training.epochs import new_run
from tests.conftest import Outcome

Robench = Callable[..., Outcome]
Array = npt.NDArray[Any]

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8), np.uint8)
LABELS = np.arange(40) % 10


def written(path: Path, image: Array = IMAGES, label: Array = LABELS) -> str:
    """The file's name."""
    np.savez(path, image=image, label=label)
    return path.name


@pytest.fixture
def digits() -> Data:
    return load("digits", Path(), torch.device("cpu"))


def test_images_come_whole_with_their_labels_in_an_order_that_never_changes(
    digits: Data, tmp_path: Path
) -> None:
    name = written(tmp_path / "a.npz", IMAGES[..., None])
    found = with_extra(digits, name, tmp_path).extra
    assert found is not None
    assert found.stored().dtype == torch.uint8
    assert found.x().max() == IMAGES.max() / 255
    assert sorted(found.origin.tolist()) == list(range(40)) != found.origin.tolist()
    for pixels, y, origin in zip(found.stored(), found.y, found.origin, strict=True):
        assert np.array_equal(pixels[0], IMAGES[origin])
        assert y == LABELS[origin]
    again = with_extra(digits, name, tmp_path).extra
    assert again is not None
    assert torch.equal(found.origin, again.origin)


def test_layouts_types_and_compression_are_one_content(digits: Data, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", label=LABELS, image=IMAGES)
    names = [
        written(tmp_path / "a.npz", IMAGES[..., None]),
        written(tmp_path / "b.npz"),
        written(tmp_path / "c.npz", label=LABELS.astype(np.uint8)),
        str(tmp_path / "packed.npz"),
    ]
    assert len({with_extra(digits, name, tmp_path).extra_digest for name in names}) == 1
    others = [
        written(tmp_path / "d.npz", IMAGES[::-1]),
        written(tmp_path / "e.npz", label=LABELS[::-1]),
    ]
    assert len({with_extra(digits, n, tmp_path).extra_digest for n in [*names, *others]}) == 3


def test_colours_are_an_axis_of_their_own(tmp_path: Path) -> None:
    image = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
    name = written(tmp_path / "a.npz", image, LABELS[:6] % 4)
    found = with_extra(tiny.data(), name, tmp_path).extra
    assert found is not None
    assert np.array_equal(found.stored()[0, 2], image[found.origin[0], :, :, 2])


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (IMAGES.astype(float), LABELS, r"'image' is float64 \(40, 8, 8\) and not uint8 images"),
        (IMAGES.astype(np.uint16), LABELS, "images are uint16"),
        (IMAGES[0], LABELS[:8], r"'image' is uint8 \(8, 8\) and not uint8 images"),
        (IMAGES[:, None], LABELS, r"images are uint8 \(8, 1, 8\) and not uint8 \(1, 8, 8\)"),
        (IMAGES[:, :7], LABELS, r"images are uint8 \(1, 7, 8\) and not"),
        (IMAGES, LABELS[:39], r"not as many \(40\) as labels \(39\)"),
        (IMAGES, LABELS + 1, "some are not in 0-9"),
        (IMAGES, LABELS - 1, "some are not in 0-9"),
        (IMAGES, LABELS.astype(np.uint64) + 2**63, "some are not in 0-9"),
        (IMAGES, LABELS + 0.5, r"'label' is float64 \(40,\) and not whole numbers"),
        (IMAGES, LABELS[:, None], r"'label' is int64 \(40, 1\) and not whole numbers"),
        (IMAGES[:0], LABELS[:0], "no labels"),
    ],
)
def test_what_does_not_fit_is_named(
    image: Array, label: Array, message: str, digits: Data, tmp_path: Path
) -> None:
    name = written(tmp_path / "a.npz", image, label)
    with pytest.raises(DataError, match=message) as error:
        with_extra(digits, name, tmp_path)
    assert "a.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_objects_are_not_unpickled(digits: Data, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "boom",)

    written(tmp_path / "a.npz", np.array([Bomb()] * 40, object))
    written(tmp_path / "b.npz", label=np.array([Bomb()] * 40, object))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError, match=r"is object \(40,\) and not"):
            with_extra(digits, name, tmp_path)
    assert not (tmp_path / "boom").exists()


def test_what_is_no_such_file_is_named(digits: Data, tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", x=IMAGES, label=LABELS)
    (tmp_path / "c.npz").write_bytes(b"no archive")
    (tmp_path / "d.npz").mkdir()
    for name, message in (
        ("a.npz", "there is no file .*; name one below --data-root, or all of its path"),
        ("b.npz", "it has no array 'image'; it has: x, label"),
        ("c.npz", "File is not a zip file"),
        ("d.npz", "there is no file"),
    ):
        with pytest.raises(DataError, match=message):
            with_extra(digits, name, tmp_path)


def test_what_an_array_declares_is_not_believed(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    header = {"shape": (10**9, 8, 8), "fortran_order": False, "descr": "|u1"}
    np.lib.format.write_array_header_1_0(file, header)
    written(tmp_path / "whole.npz")
    with (
        zipfile.ZipFile(tmp_path / "whole.npz") as old,
        zipfile.ZipFile(tmp_path / "a.npz", "w") as new,
    ):
        new.writestr("image.npy", file.getvalue())
        new.writestr("label.npy", old.read("label.npy"))
    with pytest.raises(DataError, match=r"image\.npy has 128 bytes, not 64,000,000,128"):
        with_extra(digits, "a.npz", tmp_path)
    monkeypatch.setattr(extra, "_MOST_BYTES", 2000)
    with pytest.raises(DataError, match=r"would unpack to .* bytes, over 2,000"):
        with_extra(digits, "whole.npz", tmp_path)


def test_a_run_meets_them_augmented_as_its_batches_are(threat: Threat) -> None:
    data, recipe = tiny.data(), replace(tiny.RECIPE, augment="crop", pad=1)
    more = replace(data, extra=data.validation)
    assert new_run(data, threat, recipe).extra is None
    run = new_run(more, threat, recipe)
    assert run.extra is not None
    drawn = run.extra.draw(64)
    assert torch.equal(drawn.y, data.validation.y[drawn.index])
    there = data.validation.x(drawn.index)
    same = (drawn.x == there).flatten(1).all(1).float().mean()
    assert 0.02 < same < 0.3  # one of nine shifts is none
    plain = new_run(more, threat, tiny.RECIPE).extra
    assert plain is not None
    found = plain.draw(64)
    assert torch.equal(found.x, data.validation.x(found.index))


def request(methods: str, root: Path) -> Request:
    return Request(
        methods=tuple(choices(methods)), datasets=("digits",), models=(), suites=("quick",),
        norm="Linf", eps=(), train_norm="Linf", train_eps=(), seeds=(0, 1), changes={},
        checkpoints=("best",), train_limit=None, test_limit=None, data_root=root, download=False,
    )  # fmt: skip


def test_cells_of_a_plan_share_memory_and_a_limit_keeps_the_first(tmp_path: Path) -> None:
    name = written(tmp_path / "a.npz")
    planned = plan(
        request(f"port[extra={name},samples=none,7,99],madry", tmp_path), torch.device("cpu")
    )
    found = [job.extra for job in planned.jobs]
    assert [len(images) if images else None for images in found] == [
        40,
        40,
        7,
        7,
        40,
        40,
        None,
        None,
    ]
    held = [images.pixels for images in found if images]
    places = {pixels.data_ptr() for pixels in held if isinstance(pixels, Tensor)}
    assert len(places) == 1


def test_the_digest_is_part_of_the_key_where_there_is_one(digits: Data, tmp_path: Path) -> None:
    def cells(methods: str) -> list[Cell]:
        return [job.cell for job in plan(request(methods, tmp_path), torch.device("cpu")).jobs[::2]]

    name = written(tmp_path / "a.npz")
    digest = with_extra(digits, name, tmp_path).extra_digest
    first, *others = cells("port[extra=a.npz],port[extra=a.npz,real=1],port,madry")
    assert first.identity["extra"] == digest
    assert not any("extra" in cell.identity for cell in others)
    written(tmp_path / "a.npz", IMAGES[::-1])
    (second,) = cells("port[extra=a.npz]")
    assert second.key != first.key
    assert second.identity | {"extra": digest} == first.identity


def test_the_plan_says_how_many_are_used(robench: Robench, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    written(tmp_path / "data" / "a.npz")
    asked = ("-m", "port[extra=a.npz,samples=none,7],madry", "--seeds", "0-1", "--plan")
    planned = robench("run", *asked).out
    assert planned.count("extra     port[extra=a.npz]: 40 images of a.npz\n") == 1
    assert planned.count("extra     port[extra=a.npz,samples=7]: 7 images of a.npz\n") == 1
    assert planned.count("extra   ") == 2
    wrong = robench("run", "-m", "port[extra=c.npz]", "--plan")
    assert wrong.code == 2
    assert wrong.err.count("\n") == 1
    assert "there is no file data/c.npz; name one below --data-root" in wrong.err


def test_trainings_on_two_contents_of_a_file_are_never_averaged(
    robench: Robench, tmp_path: Path
) -> None:
    few = ("--train-limit", "8", "--test-limit", "2", "--set", "recipe.epochs=1")
    for images in (IMAGES, IMAGES[::-1]):
        written(tmp_path / "a.npz", images)
        asked = ("-m", f"port[inner=natural,extra={tmp_path}/a.npz]", "--checkpoints", "best", *few)
        assert robench("run", *asked).code == 0
    rows = pd.read_csv("results/local/results.csv")
    assert rows["cell"].nunique() == rows["settings_key"].nunique() == 2
