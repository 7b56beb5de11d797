"""Deep pursuit: one round is a feed-forward network; more rounds are steps down one objective."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.data.catalogue import DATASETS
from robench.models.catalogue import build
from robench.models.prepared import prepared
from robench.models.pursuit import Block, Pursuit, largest


def small(steps: int, seed: int = 0, size: float = 1.0, penalty: float = 0.05) -> Pursuit:
    """Three codes of few patterns, in double precision."""
    torch.manual_seed(seed)
    model = Pursuit(2, (3, 4, 5), (2, 2, 1), steps).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.penalties.uniform_(0, 2 * penalty)
            for block in layer.blocks:
                block.weight.mul_(size)
    return model


def images() -> Tensor:
    return torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1)).double()


def squares(model: Pursuit, maps: list[Tensor]) -> Tensor:
    """How far each map is from what the codes over it say."""
    total = torch.zeros((), dtype=torch.float64)
    for place, layer in enumerate(model.layers, 1):
        written = layer.write(maps[place], layer.scale())
        for below, guess in zip((place - 1, place - 2), written, strict=False):
            total = total + (maps[below] - guess).square().sum() / 2
    return total


@torch.no_grad()
def objective(model: Pursuit, steps: int) -> float:
    """Of the codes after so many rounds; after none they are zero."""
    model.steps = max(steps, 1)
    maps = model.codes(images())
    maps = maps if steps else [maps[0], *(torch.zeros_like(code) for code in maps[1:])]
    lengths = [
        (layer.penalties.abs() * code.abs()).sum().item()
        for layer, code in zip(model.layers, maps[1:], strict=True)
    ]
    return squares(model, maps).item() + sum(lengths)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000), size=st.floats(0.01, 30), penalty=st.sampled_from([0.0, 0.02, 1.0])
)
def test_no_round_raises_the_objective(seed: int, size: float, penalty: float) -> None:
    model = small(1, seed, size, penalty)
    found = [objective(model, steps) for steps in range(7)]
    assert all(late <= early + 1e-12 for early, late in itertools.pairwise(found))


def test_rounds_lower_the_objective_to_where_no_step_moves() -> None:
    model = small(1)
    found = [objective(model, steps) for steps in (0, 1, 3, 200)]
    assert all(late < early - 0.02 for early, late in itertools.pairwise(found))
    with torch.no_grad():
        last = model.codes(images())
        model.steps += 1
        after = model.codes(images())
    assert all(torch.allclose(w, v, atol=1e-5) for w, v in zip(last, after, strict=True))
    assert all((w == 0).any() and (w > 0).any() for w in last[1:])


def test_each_step_is_the_proximal_gradient_of_the_objective() -> None:
    """By autograd on the objective, one code after the other."""
    x, model = images(), small(4)
    maps = [x, *(torch.zeros_like(w) for w in model.codes(x)[1:])]
    for _ in range(4):
        for place, layer in enumerate(model.layers, 1):
            leaves = [m.detach() for m in maps]
            leaves[place].requires_grad_()
            (grad,) = torch.autograd.grad(squares(model, leaves), leaves[place])
            moved = leaves[place] - layer.step * grad - layer.step * layer.penalties.abs()
            maps[place] = moved.detach().clamp_min(0)
    assert [layer.step for layer in model.layers] == [1 / 3, 1 / 2, 1]
    for found, expected in zip(model.codes(x), maps, strict=True):
        assert torch.allclose(found, expected, atol=1e-12)


class FeedForward(nn.Module):
    """Convolutions with biases, rectifiers, and skip connections over one layer."""

    def __init__(self, model: Pursuit) -> None:
        super().__init__()
        self.main, self.skip = nn.ModuleList(), nn.ModuleList([nn.Identity()])
        for layer in model.layers:
            for block, kept in zip(layer.blocks, (self.main, self.skip), strict=False):
                outside, inside, kernel, _ = block.weight.shape
                conv = nn.Conv2d(
                    inside, outside, kernel, block.stride, (kernel - block.stride) // 2
                )
                conv.weight.data = layer.step * layer.scale().detach() * block.weight.data
                conv.bias = nn.Parameter(-layer.step * layer.penalties.data.abs().flatten())
                if kept is self.skip:
                    conv.bias = None
                kept.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        before, now = x, F.relu(self.main[0](x))
        for main, skip in zip(list(self.main)[1:], list(self.skip)[1:], strict=True):
            before, now = now, F.relu(main(now) + skip(before))
        return now


def test_one_round_is_a_feed_forward_network() -> None:
    x, model = images(), small(1)
    found, expected = model(x), FeedForward(model)(x)
    assert 0 < (found > 0).float().mean() < 1
    # Not to the last bit: it adds the bias within the convolution.
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(small(2)(x), expected, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("tiles", [True, False])
def test_writing_is_the_transpose_of_reading(stride: int, tiles: bool) -> None:
    torch.manual_seed(0)
    block, scale = Block(2, 3, stride, tiles=tiles), torch.tensor(0.7)
    x, code = torch.randn(2, 2, 8, 8), torch.randn(2, 3, 8 // stride, 8 // stride)
    with torch.no_grad():
        one, other = (block.read(x, scale) * code).sum(), (x * block.write(code, scale)).sum()
    assert one.item() == pytest.approx(other.item(), rel=1e-4)


@given(seed=st.integers(0, 1000), n=st.integers(1, 20), rank=st.integers(1, 20))
def test_the_bound_is_over_the_largest_eigenvalue_by_little(seed: int, n: int, rank: int) -> None:
    half = torch.randn(n, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    top = torch.linalg.eigvalsh(half @ half.T)[-1].item()
    found = largest(half @ half.T).item()
    assert top * (1 - 1e-9) <= found <= top * n ** (1 / 16) * (1 + 1e-9)


def test_the_bound_of_nothing_is_nothing_and_has_a_gradient() -> None:
    zero = torch.zeros(3, 3, requires_grad=True)
    found = largest(zero)
    (grad,) = torch.autograd.grad(found.clamp_min(1).rsqrt(), zero)
    assert found < 1e-9
    assert torch.equal(grad, torch.zeros(3, 3))


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_no_dictionary_has_a_norm_over_one(size: float) -> None:
    """By power iteration, on maps large enough that borders hardly count."""
    for layer in small(1, size=size).layers:
        scale = layer.scale().detach()
        assert (scale == 1) == (size == 0.01)  # a small one stays as it is
        code = torch.randn(1, len(layer.penalties), 24, 24, dtype=torch.float64)
        with torch.no_grad():
            for _ in range(60):
                code = code / code.norm()
                code = layer.read(layer.write(code, scale), scale)
        assert code.norm() <= 1
        assert code.norm() > (0.1 if size >= 1 else 0)  # nor is the bound too far off


def test_gradients_go_through_all_rounds() -> None:
    """Numerical ones, so that a round that was cut off would show."""
    model, x = small(3, penalty=0.01), images().requires_grad_()
    weights = list(model.parameters())

    def out(x: Tensor, *_: Tensor) -> Tensor:
        return torch.cat([code.flatten() for code in model.codes(x)[1:]])

    assert out(x).count_nonzero() > 5
    assert torch.autograd.gradcheck(out, (x, *weights), fast_mode=True)


@pytest.mark.parametrize("dataset", ["digits", "mnist", "cifar10"])
def test_rounds_share_their_weights_and_every_size_of_image_fits(dataset: str) -> None:
    torch.manual_seed(0)
    facts = DATASETS[dataset]
    one, more = (build(name, facts, normalise=True).eval() for name in ("pursuit-t1", "pursuit"))
    more.load_state_dict(one.state_dict())
    x = torch.rand(2, *facts.shape)
    with torch.no_grad():
        assert one.features(x).shape == more.features(x).shape == (2, 256)
        assert not torch.allclose(one(x), more(x), atol=1e-4)


def test_its_copy_for_attacks_says_the_same() -> None:
    torch.manual_seed(0)
    model, x = build("pursuit", DATASETS["digits"], normalise=True).eval(), torch.rand(64, 1, 8, 8)
    fast = prepared(model, x)
    assert fast is not model
    with torch.no_grad():
        assert torch.equal(fast(x).argmax(1), model(x).argmax(1))
