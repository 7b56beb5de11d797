"""Feature denoising: its block against a loop, and networks that start as their backbones."""

import math

import pytest
import torch
from torch import Tensor, nn

from robench.data.catalogue import DATASETS
from robench.models.catalogue import build
from robench.models.classifier import Network, num_parameters
from robench.models.denoise import Denoise
from robench.models.prepared import prepared

PAIRS = {
    "denoise-digitscnn": ("digits", [(32, 8, 8), (64, 4, 4)]),
    "denoise-madrycnn": ("mnist", [(32, 14, 14), (64, 7, 7)]),
    "denoise-resnet18": ("cifar10", [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]),
}


def network(name: str, dataset: str) -> Network:
    torch.manual_seed(0)
    return build(name, DATASETS[dataset], normalise=True)


def awake(block: Denoise) -> Denoise:
    """A block with every number drawn anew, in eval mode."""
    for tensor in block.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.2, 1.5)
    nn.init.normal_(block.theta.weight)
    nn.init.normal_(block.phi.weight)
    return block.eval()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PAIRS)
def test_at_the_start_it_is_its_backbone_bit_for_bit(name: str, training: bool) -> None:
    dataset, _ = PAIRS[name]
    x, found = torch.rand(2, *DATASETS[dataset].shape), []
    for one in (name.removeprefix("denoise-"), name):
        leaf = x.clone().requires_grad_()
        logits = network(one, dataset).train(training)(leaf)
        found.append((logits, torch.autograd.grad(logits.square().sum(), leaf)[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", PAIRS)
def test_a_block_stands_at_the_end_of_every_stage(name: str) -> None:
    dataset, expected = PAIRS[name]
    model, seen = network(name, dataset).eval(), []
    for block in model.modules():
        if isinstance(block, Denoise):
            block.register_forward_hook(lambda _, inputs, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        model(torch.rand(1, *DATASETS[dataset].shape))
    assert seen == expected
    plain = num_parameters(network(name.removeprefix("denoise-"), dataset))
    # Two convolutions to half the channels, one to all of them, a scale and a shift.
    added = sum(2 * width**2 + 2 * width for width, *_ in expected)
    assert num_parameters(model) == plain + added


def loop(block: Denoise, x: Tensor) -> Tensor:
    """The block's output, place by place."""
    weight = {n: getattr(block, n).weight[:, :, 0, 0] for n in ("theta", "phi", "conv")}
    out, norm = x.clone(), block.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    for image in range(len(x)):
        flat = x[image].flatten(1)
        for i in range(flat.shape[1]):
            dots = [
                ((weight["theta"] @ flat[:, i]) @ (weight["phi"] @ flat[:, j])).item()
                for j in range(flat.shape[1])
            ]
            powers = [math.exp(dot / math.sqrt(flat.shape[0] / 2)) for dot in dots]
            mean = sum(p / sum(powers) * flat[:, j] for j, p in enumerate(powers))
            z = (weight["conv"] @ mean - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            out[image].flatten(1)[:, i] += z * norm.weight + norm.bias
    return out


def test_the_block_against_a_loop() -> None:
    torch.manual_seed(0)
    block, x = awake(Denoise(4)), torch.randn(2, 4, 2, 3)
    with torch.no_grad():
        found, expected = block(x), loop(block, x)
    assert (found - x).abs().min() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)


def test_places_have_no_order() -> None:
    torch.manual_seed(0)
    block, x = awake(Denoise(8)), torch.randn(2, 8, 4, 5)
    order = torch.randperm(20)
    mixed = x.flatten(2)[:, :, order].view_as(x)
    with torch.no_grad():
        assert torch.allclose(block(x).flatten(2)[:, :, order], block(mixed).flatten(2), atol=1e-5)


def test_the_scale_learns_first_and_then_all_of_the_block() -> None:
    model, x = network("denoise-digitscnn", "digits"), torch.rand(8, 1, 8, 8)
    blocks = [block for block in model.modules() if isinstance(block, Denoise)]
    for step in range(2):
        model.zero_grad()
        model(x).square().sum().backward()
        for block in blocks:
            grads = {name: p.grad for name, p in block.named_parameters()}
            assert all(grad is not None for grad in grads.values())
            moving = {name for name, grad in grads.items() if grad is not None and grad.any()}
            assert moving == ({"norm.weight", "norm.bias"} if step == 0 else set(grads))
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.data -= 0.1 * parameter.grad


def test_its_copy_for_attacks_is_folded_and_says_the_same() -> None:
    model = network("denoise-digitscnn", "digits").eval()
    for block in model.modules():
        if isinstance(block, Denoise):
            awake(block)
    x = torch.rand(64, 1, 8, 8)
    fast = prepared(model, x)
    assert fast is not model
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
    with torch.no_grad():
        assert torch.equal(fast(x).argmax(1), model(x).argmax(1))
