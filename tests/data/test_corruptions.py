"""Corruptions: what all 15 share, and each against a closed form or another library."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colors
from scipy import ndimage
from torch import Tensor

from robench.data.corruptions import blur, canvas, digital, noise, weather
from robench.data.corruptions.catalogue import KINDS, SEVERITIES, shown
from robench.data.corruptions.draws import PART, Draws
from robench.data.corruptions.made import CORRUPTIONS, corrupt
from robench.data.load import load
from robench.errors import DataError

SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32))

NOT_MONOTONE = {
    "glass_blur": "a stronger blur hides what its pixels' jumps have done",
    "frost": "from the third severity on it hides the image rather than brightens it",
    "elastic_transform": "its affine part gets weaker, and the rest finer",
}
"""Kinds of which a stronger severity may change pixels by less, by the authors' constants."""


def images(shape: tuple[int, int, int], count: int = 24) -> Tensor:
    """Digits as they are, or clouds with a bright and a dark bar."""
    channels, side, _ = shape
    if side == 8:
        return load("digits", Path(), torch.device("cpu")).test.x(slice(count))
    draws = Draws(0, count)
    found = torch.cat([weather.clouds(draws, side, 2.0) for _ in range(channels)], 1)
    found[:, :, 2 : side // 2, side // 3 : side // 3 + 3] = 1
    found[:, :, side // 2 : side - 4, side // 2 : side // 2 + 4] = 0.1
    found = torch.stack([one.roll((7 * at, 11 * at), (1, 2)) for at, one in enumerate(found)])
    return found.mul(255).round() / 255


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def x(request: pytest.FixtureRequest) -> Tensor:
    return images(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_images_stay_images_change_and_change_more_with_severity(kind: str, x: Tensor) -> None:
    found = [corrupt(x, kind, severity, 0) for severity in SEVERITIES]
    for version in found:
        assert version.shape == x.shape
        assert version.dtype == torch.uint8
    changed = [(version != (255 * x).round()).flatten(1).any(1).float().mean() for version in found]
    assert min(changed) > 0.3  # of 64 pixels, noise may strike none
    assert changed[-1] > 0.9
    changes = [(version / 255 - x).square().mean().item() for version in found]
    if kind == "elastic_transform":
        assert changes[0] > changes[-1]
    elif kind in NOT_MONOTONE:
        assert changes[0] < changes[-1]
    else:
        coarse = kind == "pixelate" and x.shape[-1] == 8  # 7, 7, 6, 6 and 5 pixels a side
        pairs = [(0, 2), (0, 4)] if coarse else [(0, 1), (1, 2), (2, 3), (3, 4)]
        assert all(changes[a] <= 1.05 * changes[b] for a, b in pairs), changes


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_depends_on_seed_kind_severity_and_place_alone(kind: str, x: Tensor) -> None:
    whole, few = corrupt(x, kind, 3, 0), corrupt(x[:5].clone(), kind, 3, 0)
    assert torch.equal(whole[:5], few)
    drawn = kind in {
        "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow",
        "frost", "fog", "elastic_transform",
    }  # fmt: skip
    assert torch.equal(corrupt(x, kind, 3, 1), whole) != drawn
    twice = corrupt(x[:1].expand(2, -1, -1, -1), kind, 3, 0)
    assert torch.equal(twice[0], twice[1]) != drawn


def test_parts_draw_from_streams_of_their_own() -> None:
    grey = torch.full((PART + 3, 1, 8, 8), 0.5)
    found = corrupt(grey, "gaussian_noise", 1, 0)
    assert not torch.equal(found[0], found[PART])
    assert torch.equal(corrupt(grey[: PART + 1], "gaussian_noise", 1, 0), found[: PART + 1])
    assert Draws(1, 2).uniform(0, 1, 2).flatten().tolist() == pytest.approx(
        [0.417022, 0.720324, 0.000114, 0.302333], abs=1e-6
    )  # numpy's documented stream of the seed 1


def test_the_catalogue_is_the_papers() -> None:
    assert list(CORRUPTIONS) == list(KINDS)
    counts = {family: list(KINDS.values()).count(family) for family in KINDS.values()}
    assert counts == {"noise": 3, "blur": 4, "weather": 4, "digital": 4}
    assert len({shown(kind) for kind in KINDS}) == 15
    assert shown("jpeg_compression") == "digital, jpeg"


@pytest.mark.parametrize(
    ("kind", "severity", "shape"),
    [("snow", 0, (1, 8, 8)), ("snow", 6, (1, 8, 8)), ("rain", 1, (1, 8, 8)),
     ("fog", 1, (1, 7, 7)), ("fog", 1, (2, 8, 8))],
)  # fmt: skip
def test_what_there_is_not_is_refused(kind: str, severity: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"there is no corruption|cannot be corrupted"):
        corrupt(torch.zeros(2, *shape), kind, severity, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_larger_images_are_corrupted_over_more_pixels(kind: str) -> None:
    (large,) = images((3, 64, 64), 1)
    assert corrupt(large[None], kind, 5, 0).shape == (1, 3, 64, 64)


def test_noise_has_the_spread_that_it_says() -> None:
    grey, draws = torch.full((40, 1, 32, 32), 0.5), Draws(0, 40)
    for severity, spread in zip(SEVERITIES, (0.04, 0.06, 0.08, 0.09, 0.1), strict=True):
        noisy = noise.gaussian(grey, draws, severity) - grey
        assert noisy.std().item() == pytest.approx(spread, rel=0.02)
        assert noisy.mean().item() == pytest.approx(0, abs=0.002)
    for severity, photons in zip(SEVERITIES, (500, 250, 100, 75, 50), strict=True):
        shot = noise.shot(grey, draws, severity)
        assert shot.var().item() == pytest.approx(0.5 / photons, rel=0.05)
        assert shot.mean().item() == pytest.approx(0.5, abs=0.002)
    for severity, share in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07), strict=True):
        struck = noise.impulse(grey, draws, severity)
        for value in (0, 1):
            found = (struck == value).float().mean().item()
            assert found == pytest.approx(share / 2, rel=0.15)
        assert ((struck == 0.5) | (struck == 0) | (struck == 1)).all()


def test_out_of_focus_is_the_authors_kernel_at_32_pixels() -> None:
    x = images((3, 32, 32), 2)
    box = ndimage.uniform_filter(x.numpy(), (1, 1, 3, 3), mode="mirror")
    assert blur.defocus(x, Draws(0, 2), 5).numpy() == pytest.approx(box, abs=1e-4)
    cross = ndimage.generate_binary_structure(2, 1)[None, None] / 5
    wanted = ndimage.correlate(x.numpy(), cross.astype(np.float32), mode="mirror")
    assert blur.defocus(x, Draws(0, 2), 4).numpy() == pytest.approx(wanted, abs=1e-4)
    soft = ndimage.gaussian_filter(x.numpy(), (0, 0, 0.6, 0.6), mode="mirror", radius=(0, 0, 1, 1))
    assert blur.defocus(x, Draws(0, 2), 3).numpy() == pytest.approx(soft, abs=1e-4)


def test_behind_glass_every_pixel_is_one_of_four() -> None:
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = blur.glass(x, Draws(0, 3), 1)  # its blur, of 0.05 pixels, is none
    near = torch.stack([x.roll((down, right), (2, 3)) for down in (0, 1) for right in (0, 1)])
    which = (near - found).abs().amax(2).amin(0)
    assert which.amax() < 1e-5
    assert torch.allclose(found[:, :, :2], x[:, :, :2])
    assert torch.allclose(found[..., :2], x[..., :2])
    stayed = ((found - x).abs().amax(1) < 1e-5)[:, 2:, 2:].float().mean().item()
    assert stayed == pytest.approx(0.25, abs=0.03)


def test_motion_leaves_half_a_bell_along_its_line() -> None:
    point = torch.zeros(1, 1, 32, 32)
    point[..., 16, 16] = 1
    found = blur.streaked(point, torch.tensor([0.0]), 9, 2.5)[0, 0]
    bell = np.exp(-((np.arange(11) / 2.5) ** 2) / 2)
    assert found[16, 6:17].flip(0).numpy() == pytest.approx(bell / bell.sum(), abs=1e-6)
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    turned = blur.streaked(point, torch.tensor([90.0]), 9, 2.5)[0, 0]
    assert torch.allclose(turned.T, found, atol=1e-5)


def test_kernels_between_pixels_are_shared_out_as_linear_interpolation_does() -> None:
    points = torch.tensor([[[0.25, 0.0]], [[0.0, -0.5]]])
    found = canvas.kernel(points, torch.ones(2, 1))
    wanted = torch.zeros(2, 3, 3)
    wanted[0, 1, 1], wanted[0, 2, 1] = 0.75, 0.25
    wanted[1, 1, 0], wanted[1, 1, 1] = 0.5, 0.5
    assert torch.allclose(found, wanted)
    assert canvas.spacing(torch.zeros(1, 1, 8, 8)) == (0.25, 1.0)
    assert canvas.spacing(torch.zeros(1, 1, 64, 64)) == (1.0, 2.0)


@pytest.mark.parametrize("factor", [1.0, 1.13, 1.25, 2.25])
def test_zooms_are_scipys(factor: float) -> None:
    x = images((1, 28, 28), 2)
    at = (np.arange(28) - 13.5) / factor + 13.5
    for image in x:
        grid = np.meshgrid(at, at, indexing="ij")
        wanted = ndimage.map_coordinates(image[0].numpy(), grid, order=1)
        assert canvas.zoomed(image[None], factor)[0, 0].numpy() == pytest.approx(wanted, abs=1e-5)


def test_moves_are_scipys_with_mirrored_edges() -> None:
    x = images((3, 32, 32), 1)
    source = canvas.places(x) + 4 * torch.randn(
        1, 2, 32, 32, generator=torch.Generator().manual_seed(0)
    )
    wanted = [
        ndimage.map_coordinates(channel, source[0].numpy(), order=1, mode="mirror")
        for channel in x[0].numpy()
    ]
    assert canvas.moved(x, source)[0].numpy() == pytest.approx(np.stack(wanted), abs=1e-4)


def test_an_affine_map_keeps_a_plane_and_corners_end_where_they_were_drawn() -> None:
    plane = canvas.places(torch.zeros(1, 1, 32, 32)).mean(1, keepdim=True).expand(9, -1, -1, -1)
    found = digital.elastic(plane, Draws(0, 9), 1)[:, 0, 10:22, 10:22]
    for axis in (1, 2):
        assert found.diff(n=2, dim=axis).abs().amax() < 1e-3
    shift = Draws(0, 9).uniform(-0.08, 0.08, 3, 2)
    corners = torch.tensor(((26.0, 26.0), (26.0, 6.0), (6.0, 6.0)))
    moved = torch.cat([corners + 32 * shift, torch.ones(9, 3, 1)], 2)
    assert torch.allclose(moved @ digital._affine(shift, 32), corners.expand(9, -1, -1), atol=1e-4)


def test_brightness_is_hsvs() -> None:
    x = images((3, 32, 32), 3)
    x[0, :, 0, :5] = 0  # black has no hue
    for severity, light in zip(SEVERITIES, (0.05, 0.1, 0.15, 0.2, 0.3), strict=True):
        hsv = colors.rgb_to_hsv(x.permute(0, 2, 3, 1).numpy())
        hsv[..., 2] = np.clip(hsv[..., 2] + light, 0, 1)
        wanted = colors.hsv_to_rgb(hsv).transpose(0, 3, 1, 2)
        assert weather.brightness(x, Draws(0, 3), severity).numpy() == pytest.approx(
            wanted, abs=1e-5
        )


def test_contrast_keeps_means_and_shrinks_spreads() -> None:
    x = images((3, 32, 32), 3)
    found = digital.contrast(x, Draws(0, 3), 5)
    assert torch.allclose(found.mean((2, 3)), x.mean((2, 3)), atol=1e-5)
    assert torch.allclose(found.std((2, 3)), 0.15 * x.std((2, 3)), atol=1e-5)


def test_clouds_reach_from_0_to_1_and_are_smoother_with_decay() -> None:
    rough = [weather.clouds(Draws(0, 20), 28, decay) for decay in (1.2, 1.75, 3.0)]
    for found in rough:
        assert found.shape == (20, 1, 28, 28)
        assert found.amin((2, 3)).tolist() == [[0.0]] * 20
        assert torch.allclose(found.amax((2, 3)), torch.ones(20, 1))
    steps = [found.diff(dim=2).abs().mean().item() for found in rough]
    assert steps == sorted(steps, reverse=True)


def test_fog_is_no_brighter_than_the_image_and_frost_as_bright_as_ice() -> None:
    x = 0.6 * images((3, 32, 32), 5)
    for severity in SEVERITIES:
        assert weather.fog(x, Draws(0, 5), severity).amax() <= x.amax() + 1e-6
        assert (weather.fog(0 * x, Draws(0, 5), severity) == 0).all()
    black = torch.zeros(100, 3, 32, 32)
    veil = weather.frost(black, Draws(0, 100), 1) / 0.2
    red, green, blue = veil.mean((0, 2, 3)).tolist()
    assert 0.5 < red < green < blue < 0.75  # as in photographs: 0.57, 0.65 and 0.70


def test_snow_falls_from_two_sides_alike() -> None:
    black = torch.zeros(4, 1, 32, 32)
    found = weather.snow(black, Draws(0, 4), 4) - 0.15 * 0.5
    assert torch.allclose(found, found.flip((2, 3)), atol=1e-5)
    assert found.amax() > 0.2


def test_coarse_pixels_are_few() -> None:
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    for severity, side in zip(SEVERITIES, (30, 28, 27, 24, 20), strict=True):
        found = digital.pixelate(x, Draws(0, 1), severity)[0, 0]
        assert len(found.unique(dim=0)) == side
        assert len(found.unique(dim=1)[0]) == side
