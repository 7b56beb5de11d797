"""Augmentation against a slow loop, and what it must never do."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robench.data.augment import Augmentation, Padding, augment
from robench.data.batches import batches, shuffled
from robench.data.load import Data


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("kind", ["crop", "crop-flip"])
def test_against_a_loop(kind: Augmentation, padding: Padding) -> None:
    x = torch.rand(32, 3, 8, 6, generator=generator(1))
    found = augment(x, kind, 2, padding, generator(2))
    draws = generator(2)
    top = torch.randint(0, 5, (32, 1), generator=draws)
    left = torch.randint(0, 5, (32, 1), generator=draws)
    mirrored = torch.rand(32, 1, generator=draws) < 0.5
    for i in range(32):
        mode = "constant" if padding == "zero" else "reflect"
        padded = torch.nn.functional.pad(x[i : i + 1], (2,) * 4, mode=mode)[0]
        one = padded[:, top[i] : top[i] + 8, left[i] : left[i] + 6]
        if kind == "crop-flip" and mirrored[i]:
            one = one.flip(2)
        assert torch.equal(found[i], one)


@given(st.sampled_from(["none", "crop", "crop-flip"]), st.integers(0, 3), st.integers(0, 99))
def test_keeps_shape_range_and_repeats(kind: Augmentation, pad: int, seed: int) -> None:
    x = torch.rand(5, 1, 8, 8, generator=generator(seed))
    found = augment(x, kind, pad, "zero", generator(seed))
    assert found.shape == x.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found, augment(x, kind, pad, "zero", generator(seed)))


def test_every_image_has_its_own_draw() -> None:
    x = torch.rand(1, 1, 8, 8, generator=generator()).expand(64, 1, 8, 8)
    found = augment(x, "crop-flip", 2, "zero", generator())
    assert len({image.numpy().tobytes() for image in found}) > 30


def test_no_shift_and_no_flip_change_nothing() -> None:
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(augment(x, "crop", 0, "zero", generator()), x)
    assert augment(x, "none", 4, "zero", generator()) is x


def test_batches_hold_every_image_once_with_its_index(data: Data) -> None:
    seen = []
    for batch in batches(data.train, shuffled(data.train, generator()), 48):
        assert torch.equal(batch.x, data.train.x(batch.index))
        assert torch.equal(batch.y, data.train.y[batch.index])
        seen.append(batch.index)
    assert torch.cat(seen).sort().values.equal(torch.arange(len(data.train)))
    assert not torch.cat(seen).equal(torch.arange(len(data.train)))
    assert [len(index) for index in seen] == [48] * 5 + [16]
