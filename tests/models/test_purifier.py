"""Transforms drawn for each image, purifiers, and the classifier frozen behind them."""

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.gradient import expected, gradient
from robench.adversary.losses import cross_entropy
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.models.critic import contest, patch_critic
from robench.models.passes import counted
from robench.models.prepared import prepared
from robench.models.purifier import (
    AutoEncoder,
    Gated,
    Inpainter,
    Purified,
    Purifier,
    PurifierName,
    purifier,
)
from robench.models.transforms import Transform

SIDES = [(8, 8), (28, 28), (32, 32), (160, 160), (20, 13), (4, 6)]
TransformName = Literal["rt1", "rt2", "rt3"]
NAMES: list[TransformName] = ["rt1", "rt2", "rt3"]
KINDS: list[PurifierName] = ["gan", "auto-encoder"]


class Unchanged(Purifier):
    """g = identity."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x


class Knowing(Purifier):
    """Fills every hole with what is under it, and keeps what it was shown."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        self.shown.append((x, mask))
        return self.x.repeat(len(x) // len(self.x), 1, 1, 1)


def purified(
    name: TransformName = "rt2", kind: PurifierName = "gan", sigma: float = 0.25
) -> Purified:
    torch.manual_seed(0)
    return Purified(
        tiny.classifier(), purifier(kind, 3, 4), Transform(name=name, sigma=sigma, rate=0.25)
    ).eval()


def edges(side: int) -> list[int]:
    """Where the blocks of a side begin, and its end."""
    blocks = min(8, side)
    return [math.ceil(side * block / blocks) for block in range(blocks + 1)]


@pytest.mark.parametrize("name", ["rt1", "rt2"])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_a_mask_hides_a_quarter_of_the_blocks(name: TransformName, height: int, width: int) -> None:
    torch.manual_seed(0)
    masks = Transform(name=name, sigma=0.25, rate=0.25).draw(torch.zeros(5, 3, height, width)).masks
    assert masks.shape == (1, 5, 1, height, width)
    for mask in masks.flatten(0, 2):
        whole = [
            mask[top:bottom, left:right].mean().item()
            for top, bottom in zip(edges(height), edges(height)[1:], strict=False)
            for left, right in zip(edges(width), edges(width)[1:], strict=False)
        ]
        assert set(whole) <= {0.0, 1.0}
        assert sum(whole) == len(whole) / 4
    if height % 8 == 0:
        assert (masks.mean((2, 3, 4)) == 0.25).all()
        assert not torch.equal(masks[:, 0], masks[:, 1])  # an image, a mask


def test_blocks_of_28_pixels_have_3_or_4() -> None:
    assert {b - a for a, b in zip(edges(28), edges(28)[1:], strict=False)} == {3, 4}


@pytest.mark.parametrize(("height", "width"), SIDES)
@pytest.mark.parametrize("views", [2, 4, 5])
def test_masks_of_rt3_part_the_image(views: int, height: int, width: int) -> None:
    transform = Transform(name="rt3", sigma=0.25, rate=1 / views)
    masks = transform.draw(torch.zeros(3, 1, height, width)).masks
    assert transform.views == len(masks) == views
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert (masks.sum(0) == 1).all()
    if (height, width) == (8, 8) and views == 4:
        assert (masks.mean((2, 3, 4)) == 0.25).all()


def test_every_block_is_hidden_equally_often() -> None:
    torch.manual_seed(0)
    often = (
        Transform(name="rt1", sigma=0.0, rate=0.25)
        .draw(torch.zeros(4000, 1, 8, 8))
        .masks.mean((0, 1, 2))
    )
    assert (often - 0.25).abs().max() < 0.03


def test_noise_has_its_deviation_and_is_cut() -> None:
    torch.manual_seed(0)
    x = torch.full((50, 3, 16, 16), 0.5)
    drawn = Transform(name="rt2", sigma=0.25, rate=0.25).draw(x)
    assert drawn.noise.mean().abs() < 0.01
    assert drawn.noise.std().item() == pytest.approx(0.25, rel=0.02)
    assert torch.equal(drawn.noisy(x), (x + drawn.noise).clamp(0, 1))
    assert torch.equal(Transform(name="rt1", sigma=0.25, rate=0.25).draw(x).noisy(x), x)


@pytest.mark.parametrize("name", NAMES)
def test_every_call_draws_anew_from_torchs_generator(name: TransformName) -> None:
    model, x = purified(name), torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
        torch.manual_seed(5)
        one = model(x)
        torch.manual_seed(5)
        assert torch.equal(one, model(x))


@pytest.mark.parametrize("name", ["rt1", "rt2"])
def test_without_noise_masks_and_changes_it_is_the_classifier(name: TransformName) -> None:
    x, f = torch.rand(16, 3, 8, 8), tiny.classifier().eval()
    model = Purified(f, Unchanged(), Transform(name=name, sigma=0.0, rate=0.0))
    assert torch.equal(model(x), f(x))


def test_rt3_pastes_what_each_view_had_hidden() -> None:
    x, f = torch.rand(6, 3, 8, 8), tiny.classifier().eval()
    knowing = Knowing(x)
    model = Purified(f, knowing, Transform(name="rt3", sigma=0.0, rate=0.25))
    assert torch.equal(model(x), f(x))
    ((shown, masks),) = knowing.shown
    assert len(shown) == 4 * len(x)
    assert torch.equal(shown, x.repeat(4, 1, 1, 1) * (1 - masks))
    assert torch.equal(masks.unflatten(0, (4, 6)).sum(0), torch.ones(6, 1, 8, 8))
    # What sees but does not fill in gives nothing: all that is pasted was hidden.
    assert not Purified(f, Unchanged(), model.transform).purify(x, model.transform.draw(x)).any()


def test_rt2_keeps_the_whole_output_not_the_holes_alone() -> None:
    x = torch.rand(6, 3, 8, 8)
    model = Purified(
        tiny.classifier(), Knowing(1 - x), Transform(name="rt2", sigma=0.25, rate=0.25)
    )
    assert torch.equal(model.purify(x, model.transform.draw(x)), 1 - x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [s for s in SIDES if s != (160, 160)])
def test_what_comes_out_is_an_image_of_the_same_size(
    kind: PurifierName, height: int, width: int
) -> None:
    torch.manual_seed(0)
    rebuilds = purifier(kind, 2, 3)
    for parameter in rebuilds.parameters():
        parameter.data *= 10
    model = Purified(nn.Flatten(), rebuilds, Transform(name="rt2", sigma=1.0, rate=0.25))
    x = torch.rand(2, 2, height, width)
    out = model.purify(x, model.transform.draw(x))
    assert out.shape == x.shape
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["rt1", "rt2"])
def test_what_is_hidden_cannot_be_seen(name: TransformName, kind: PurifierName) -> None:
    model, x = purified(name, kind), torch.rand(4, 3, 8, 8)
    drawn = model.transform.draw(x)
    hidden = drawn.masks[0]
    other = x * (1 - hidden) + torch.rand_like(x) * hidden
    assert torch.equal(model.purify(x, drawn), model.purify(other, drawn))
    assert not torch.equal(model.purify(x, drawn), model.purify(other * 0.5, drawn))


def test_the_inpainter_sees_ones_and_the_mask_beside_the_image() -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []
    rebuilds = Inpainter(3, 4)
    rebuilds.body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x, mask = torch.rand(2, 3, 8, 8), (torch.rand(2, 1, 8, 8) < 0.25).float()
    rebuilds(x * (1 - mask), mask)
    expected = torch.where(mask.bool(), torch.zeros_like(x), 2 * x - 1)
    assert torch.allclose(seen[0][:, :3], expected, atol=1e-6)
    assert (seen[0][:, 3] == 1).all()
    assert torch.equal(seen[0][:, 4:], mask)


def test_a_gate_lets_through_as_much_as_it_says() -> None:
    torch.manual_seed(0)
    gated, x = Gated(2, 3), torch.rand(1, 2, 5, 5)
    value, gate = gated.convolution(x).detach().chunk(2, 1)
    out = gated(x).detach()
    for found, v, g in zip(out.flatten(), value.flatten(), gate.flatten(), strict=True):
        elu = v.item() if v > 0 else math.expm1(v)
        assert found.item() == pytest.approx(elu / (1 + math.exp(-g)), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_images_and_purifier_but_not_the_classifier(name: TransformName) -> None:
    model, x = purified(name).train(), torch.rand(4, 3, 8, 8).requires_grad_()
    before = snapshot(model.classifier)
    model(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.any() for p in model.purifier.parameters())
    assert all(p.grad is None and p.requires_grad for p in model.classifier.parameters())
    assert equal(before, snapshot(model.classifier))  # batch normalisation's statistics as well


def test_what_did_not_require_gradients_still_does_not() -> None:
    model = purified()
    model.classifier.requires_grad_(False)
    model(torch.rand(2, 3, 8, 8))
    assert not any(p.requires_grad for p in model.classifier.parameters())


def test_the_classifier_is_always_in_eval_mode() -> None:
    model = Purified(
        tiny.classifier().train(), Inpainter(3, 4), Transform(name="rt2", sigma=0.25, rate=0.25)
    )
    for part in (model, model.train(), model.eval(), model.train()):
        assert not any(module.training for module in part.classifier.modules())
    assert model.purifier.training


@pytest.mark.parametrize("name", NAMES)
def test_one_draw_of_expectation_over_transformation_is_the_plain_gradient(
    name: TransformName,
) -> None:
    model, x, y = purified(name), torch.rand(4, 3, 8, 8), torch.arange(4)
    torch.manual_seed(7)
    _, _, one = gradient(model, x, cross_entropy, y)
    _, _, two = gradient(model, x, cross_entropy, y)
    torch.manual_seed(7)
    leaf = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(F.cross_entropy(model(leaf), y, reduction="sum"), leaf)
    assert torch.equal(one, plain)
    torch.manual_seed(7)
    _, _, mean = expected(model, x, cross_entropy, y, draws=2)
    assert torch.allclose(mean, (one + two) / 2, atol=1e-8)
    assert not torch.equal(one, two)


@pytest.mark.parametrize(("name", "views"), [("rt1", 1), ("rt2", 1), ("rt3", 4)])
def test_passes_through_purifier_and_classifier_are_counted(
    name: TransformName, views: int
) -> None:
    model, x = purified(name), torch.rand(7, 3, 8, 8)
    with counted(model) as passes:
        with torch.no_grad():
            model(x)
        model(x.requires_grad_()).sum().backward()
    assert (passes.forwards, passes.backwards) == (2 * 7 * (views + 1), 7 * (views + 1))


def test_no_faster_copy_is_taken_of_what_draws() -> None:
    model, x = purified(), torch.rand(8, 3, 8, 8)
    assert prepared(model, x) is model


def slopes(weight: float) -> tuple[list[Tensor], Tensor, list[Tensor], Tensor]:
    """Gradients of the contest at critic and rebuilt images; those of its two parts, apart."""
    torch.manual_seed(0)
    critic = patch_critic(3, 4).eval()  # eval: no power iteration between calls
    real, rebuilt = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8).requires_grad_()
    weights = list(critic.parameters())
    total = contest(critic, real, rebuilt, weight)
    *found, at_images = torch.autograd.grad(total, [*weights, rebuilt])
    hinge = (1 - critic(real)).clamp_min(0).mean() + (1 + critic(rebuilt)).clamp_min(0).mean()
    (fooled,) = torch.autograd.grad(-weight * critic(rebuilt).mean(), rebuilt)
    return found, at_images, list(torch.autograd.grad(hinge, weights)), fooled


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_critic_and_purifier_each_lower_their_own_part(weight: float) -> None:
    critic, at_images, hinge, fooled = slopes(weight)
    for one, other in zip(critic, hinge, strict=True):
        assert torch.allclose(one, other, atol=1e-7)
    assert torch.allclose(at_images, fooled, atol=1e-8)
    assert at_images.any() == (weight > 0)


def test_the_critic_scores_patches_by_weights_of_spectral_norm_one() -> None:
    torch.manual_seed(0)
    critic, x = patch_critic(3, 4), torch.rand(2, 3, 16, 16)
    for _ in range(200):  # of power iteration
        critic(x)
    assert critic(x).shape == (2, 1, 4, 4)
    for layer in critic.children():
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.svdvals(layer.weight.flatten(1))[0].item()
            assert largest == pytest.approx(1, abs=0.02)


def test_only_a_critic_that_is_asked_for_is_there() -> None:
    assert purifier("gan", 3, 4).critic is None
    assert isinstance(purifier("auto-encoder", 3, 4), AutoEncoder)
    names = dict(purifier("gan", 3, 4, critic=True).named_parameters())
    assert any(name.startswith("critic.") for name in names)
