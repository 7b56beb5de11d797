"""What each family may do to an image, and that it does no more."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.fft import dctn
from torch import Tensor

from robench.adversary.changes.elastic import Elastic
from robench.adversary.changes.gabor import Gabor
from robench.adversary.changes.jpeg import CHROMINANCE, LUMINANCE, Jpeg
from robench.adversary.changes.recolour import Recolour
from robench.adversary.changes.spatial import Turned, TurnedSearch
from robench.adversary.changes.weather import Fog, Snow
from robench.errors import AttackError
from robench.threat import Threat
from tests.adversary.changes.test_change import SHAPES, drawn, strength

seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)
Shape = tuple[int, int, int]


@settings(max_examples=25)
@given(seeds, st.sampled_from([8, 28]), st.floats(0, 0.2), st.sampled_from([0.0, 3 / 32, 0.5]))
def test_elastic_moves_no_pixel_by_more_than_eps_of_the_side(
    seed: int, side: int, eps: float, smooth: float
) -> None:
    place = (torch.arange(side) + 0.5) / side
    x = torch.stack([place.expand(side, side), place[:, None].expand(side, side)])[None]
    change = Elastic(smooth=smooth)
    at = drawn(change, (2, side, side), 1, seed)[1]
    assert (change(x, at, strength(eps, 1)) - x).abs().max() <= eps + 1e-5


def test_a_smoother_field_bends_less() -> None:
    place = (torch.arange(28) + 0.5) / 28
    x = place.expand(1, 1, 28, 28)
    bends = []
    for smooth in (0.0, 1 / 32, 3 / 32):
        change = Elastic(smooth=smooth)
        torch.manual_seed(0)
        at = 2 * torch.rand(1, *change.shape(x)) - 1
        shift = change(x, at, strength(0.05, 1)) - x
        bends.append((shift[..., 1:, :] - shift[..., :-1, :]).abs().mean().item())
    assert bends[0] > 3 * bends[1] > 3 * bends[2]


@settings(max_examples=25)
@given(seeds, shapes, st.floats(0, 0.5))
def test_recolouring_moves_no_value_by_more_than_eps_and_equal_colours_alike(
    seed: int, shape: Shape, eps: float
) -> None:
    change = Recolour()
    x, at = drawn(change, shape, 1, seed)
    x[..., 1, :] = x[..., 5, :]
    x_adv = change(x, at, strength(eps, 1))
    assert (x_adv - x).abs().max() <= eps + 1e-6
    assert torch.equal(x_adv[..., 1, :], x_adv[..., 5, :])


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_of_the_lattice_shift_by_its_parameters(channels: int) -> None:
    """The first axis of the lattice is the first channel's, and so on."""
    change = Recolour(lattice=5)
    x, at = drawn(change, (channels, 8, 8), 1, 0)
    at *= 0.4
    x[0, :, 0, 0] = torch.tensor([0.25, 0.5, 0.75])[:channels]
    x[0, :, 0, 1] = torch.tensor([0.375, 0.5, 0.75])[:channels]
    shift = (change(x, at, strength(0.5, 1)) - x)[0, :, 0] / 0.5
    first, second = ((1, 2, 3), (2, 2, 3)) if channels == 3 else ((1,), (2,))
    here, there = at[(0, slice(None), *first)], at[(0, slice(None), *second)]
    assert torch.allclose(shift[:, 0], here, atol=1e-5)
    assert torch.allclose(shift[:, 1], (here + there) / 2, atol=1e-5)


def test_images_of_two_channels_have_no_colours() -> None:
    with pytest.raises(AttackError, match="1 or 3 channels"):
        Recolour().shape(torch.rand(1, 2, 8, 8))


@settings(max_examples=25)
@given(seeds, st.sampled_from([(8, 8), (16, 24), (28, 28)]), st.floats(0, 0.05))
def test_each_coefficient_of_a_grey_image_shifts_by_its_share_of_eps_steps(
    seed: int, size: tuple[int, int], eps: float
) -> None:
    """By another library's transform, where nothing is cut."""
    change = Jpeg()
    torch.manual_seed(seed)
    x = torch.full((1, 1, *size), 0.5)
    at = 2 * torch.rand(1, *change.shape(x)) - 1
    shift = (change(x, at, strength(eps, 1)) - x)[0, 0]
    wide = -(-size[1] // 8)
    for down in range(size[0] // 8):
        for right in range(size[1] // 8):
            block = 255 * shift[8 * down : 8 * down + 8, 8 * right : 8 * right + 8].double()
            found = torch.from_numpy(dctn(block.numpy(), norm="ortho")) / torch.tensor(LUMINANCE)
            place = 64 * (down * wide + right)
            wanted = eps * at[0, place : place + 64].view(8, 8)
            assert torch.allclose(found, wanted.double(), atol=2e-5)


def test_colour_differences_have_half_the_resolution_and_their_own_steps() -> None:
    change = Jpeg()
    torch.manual_seed(0)
    x = torch.full((1, 3, 32, 32), 0.5)
    at = 2 * torch.rand(1, *change.shape(x)) - 1
    assert at.shape == (1, 64 * (16 + 2 * 4))
    shift = 255 * (change(x, at, strength(0.05, 1)) - x)[0].double()
    red, green, blue = shift
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    halves = F.avg_pool2d(((blue - bright) / 1.772)[None, None], 2)[0, 0]
    assert torch.allclose(halves.repeat_interleave(2, 0).repeat_interleave(2, 1),
                          (blue - bright) / 1.772, atol=1e-3)  # fmt: skip
    first = torch.from_numpy(dctn(halves[:8, :8].numpy(), norm="ortho"))
    wanted = 0.05 * at[0, 64 * 16 : 64 * 17].view(8, 8) * torch.tensor(CHROMINANCE)
    assert torch.allclose(first, wanted.double(), atol=1e-2)


@settings(max_examples=25)
@given(seeds, shapes, st.floats(0, 1), st.sampled_from([Fog(), Snow()]))
def test_weather_only_brightens_and_never_by_more_than_eps_of_what_is_missing(
    seed: int, shape: Shape, eps: float, change: Fog | Snow
) -> None:
    x, at = drawn(change, shape, 2, seed)
    x_adv = change(x, at, strength(eps, 2))
    assert (x_adv >= x - 1e-6).all()
    assert (x_adv <= x + eps * (1 - x) + 1e-5).all()
    assert torch.equal(x_adv, change(x, -at, strength(eps, 2)))


@settings(max_examples=25)
@given(seeds, shapes)
def test_flakes_cover_no_more_than_they_may(seed: int, shape: Shape) -> None:
    change = Snow(cover=0.1)
    at = drawn(change, shape, 2, seed)[1]
    snow = change(torch.zeros(2, *shape), at, strength(1.0, 2))
    assert (snow.mean((1, 2, 3)) <= 0.1 + 1e-5).all()


def test_full_fog_is_as_thick_as_it_may_be_everywhere() -> None:
    x = torch.zeros(1, 1, 28, 28)
    full = torch.ones(1, *Fog().shape(x))
    assert torch.allclose(Fog()(x, full, strength(0.3, 1)), torch.tensor(0.3))


@settings(max_examples=25)
@given(seeds, shapes, st.floats(0, 0.5))
def test_stripes_are_at_most_eps_high(seed: int, shape: Shape, eps: float) -> None:
    change = Gabor()
    x, at = drawn(change, shape, 2, seed)
    assert ((change(x, at, strength(eps, 2)) - x).abs() <= eps + 1e-6).all()


def test_one_direction_s_stripes_run_that_way() -> None:
    change, x = Gabor(directions=2, wavelength=1 / 4), torch.full((1, 1, 32, 32), 0.5)
    at = torch.zeros(1, *change.shape(x))
    at[0, 0, 4, 4] = 1.0
    noise = change(x, at, strength(0.1, 1)) - x
    across, along = (noise.diff(dim=dim).abs().mean() for dim in (3, 2))
    assert across > 1.5 * along
    assert noise.abs().max() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("degrees", [-30.0, 12.0, 90.0])
def test_a_rotation_is_scipy_s(degrees: float) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 15, 15)
    turned = Turned(degrees=90)(x, torch.tensor([[degrees / 90, 0, 0]]), strength(1.0, 1))
    wanted = ndimage.rotate(x[0, 0].numpy(), degrees, reshape=False, order=1)
    inner = slice(4, -4)  # at the border scipy fills in otherwise
    assert torch.allclose(
        turned[0, 0, inner, inner], torch.from_numpy(wanted)[inner, inner], atol=1e-4
    )


def test_a_translation_by_whole_pixels_is_a_shift() -> None:
    x = torch.rand(1, 3, 8, 8)
    moved = Turned(shift=0.25)(x, torch.tensor([[0.0, 1.0, -0.5]]), strength(1.0, 1))
    wanted = torch.zeros_like(x)
    wanted[..., :-1, 2:] = x[..., 1:, :-2]
    assert torch.allclose(moved, wanted, atol=1e-5)


def test_a_turned_image_is_moved_after_it_is_turned() -> None:
    x = torch.rand(1, 1, 15, 15)
    change = Turned(degrees=90, shift=1 / 15)
    both = change(x, torch.tensor([[1.0, 1.0, 0.0]]), strength(1.0, 1))
    turned = torch.rot90(x, 1, (2, 3))
    assert torch.allclose(both[..., 1:], turned[..., :-1], atol=1e-4)


class Slanted(torch.nn.Module):
    """Wrong once an image's bright bar leaves the middle rows far enough; counts its looks."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def forward(self, x: Tensor) -> Tensor:
        self.looks += 1
        rest = x.sum((1, 2, 3)) - x[..., 6:9, :].sum((1, 2, 3))
        return torch.stack([4.0 - rest, rest - 4.0], 1)


def test_the_grid_is_searched_to_its_end_where_an_image_stands() -> None:
    bar = torch.zeros(2, 1, 15, 15)
    bar[:, :, 7, 2:13] = 1
    eps, y, model = torch.tensor([0.02, 1.0]), torch.zeros(2, dtype=torch.long), Slanted()
    x_adv = TurnedSearch(angles=5, shifts=3)(model, bar, y, Threat("change", eps))
    assert model.looks == 5 * 3 * 3
    assert torch.equal(x_adv[0], bar[0])
    assert model(x_adv).argmax(1).tolist() == [0, 1]
