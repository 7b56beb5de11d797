"""Copies for attacks: the same logits, gradients and passes; the original untouched."""

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy
from robench.check import tiny
from robench.data.catalogue import DATASETS
from robench.models.catalogue import MODELS, build
from robench.models.classifier import Classifier, Network
from robench.models.passes import counted
from robench.models.prepared import PIXELS, prepared

NAMES = (
    "digitscnn", "smallcnn", "madrycnn", "lenet-small", "resnet20", "preactresnet18",
    "denoise-digitscnn", "pursuit",
)  # fmt: skip


def network(name: str) -> tuple[Network, Tensor]:
    """A network with random weights and statistics in every layer, and six images."""
    facts = DATASETS[{8: "digits", 28: "mnist", 32: "cifar10"}[(MODELS[name].sides or (32,))[-1]]]
    torch.manual_seed(0)
    model = build(name, facts, normalise=True).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            for tensor in (layer.bias, layer.running_mean):
                assert tensor is not None
                nn.init.normal_(tensor, std=0.2)
            assert layer.running_var is not None
            nn.init.uniform_(layer.running_var, 0.5, 2)
    nn.init.normal_(next(model.head.parameters()), std=0.1)  # one of the networks starts from zeros
    return model, torch.rand(6, *facts.shape)


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, Tensor]:
    """A network, its prepared copy and images."""
    model, x = network(request.param)
    return model, prepared(model, x), x


def slope(model: nn.Module, x: Tensor) -> Tensor:
    """The gradient of a loss with respect to the images."""
    leaf = x.clone().requires_grad_()
    logits = model(leaf)
    y = torch.arange(len(x)) % logits.shape[1]
    return torch.autograd.grad(cross_entropy(logits, y).sum(), leaf)[0]


Pair = tuple[nn.Module, nn.Module, Tensor]


def test_logits_agree_to_rounding_with_and_without_gradient(pair: Pair) -> None:
    model, fast, x = pair
    assert fast is not model
    expected = model(x).detach()
    with torch.no_grad():
        assert torch.allclose(fast(x), expected, rtol=1e-3, atol=1e-4 * expected.abs().max())
    logits = fast(x.clone().requires_grad_())
    assert logits.requires_grad
    assert torch.allclose(logits, expected, rtol=1e-3, atol=1e-4 * expected.abs().max())


def test_gradients_agree_to_rounding(pair: Pair) -> None:
    model, fast, x = pair
    expected, found = slope(model, x), slope(fast, x)
    assert expected.abs().max() > 0
    assert (found - expected).norm() < 1e-2 * expected.norm()  # a rectifier may switch


def test_any_number_of_images_and_one_alone(pair: Pair) -> None:
    _, fast, x = pair
    with torch.no_grad():
        together = fast(x)
        for count in (1, 2, 4):
            parts = torch.cat([fast(part) for part in x.split(count)])
            assert torch.allclose(parts, together, rtol=1e-3, atol=1e-4)


def test_one_image_is_enough_to_prepare_with(pair: Pair) -> None:
    model, _, x = pair
    fast = prepared(model, x[:1])
    assert fast is not model
    with torch.no_grad():
        expected = model(x)
        assert torch.allclose(fast(x), expected, rtol=1e-3, atol=1e-4 * expected.abs().max())


def test_the_copy_is_for_attacks_alone(pair: Pair) -> None:
    _, fast, _ = pair
    assert not fast.training
    assert not any(module.training for module in fast.modules())
    assert not any(parameter.requires_grad for parameter in fast.parameters())


def test_passes_are_counted_as_the_originals(pair: Pair) -> None:
    model, fast, x = pair
    counts = []
    for one in (model, fast):
        with counted(one) as passes:
            with torch.no_grad():
                one(x)
            slope(one, x[:4])
        counts.append((passes.forwards, passes.backwards))
    assert counts == [(10, 4), (10, 4)]


@pytest.mark.parametrize("name", ["digitscnn", "smallcnn", "resnet20"])
def test_the_original_stays_as_it_is(name: str) -> None:
    model, x = network(name)
    frozen = next(model.parameters()).requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    layers, logits, images = list(model.modules()), model(x).detach(), x.clone()
    torch.manual_seed(1)
    fast = prepared(model, x)
    drawn = torch.rand(1)
    with torch.no_grad():
        fast(x)
    slope(fast, x)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[key]) for key, tensor in before.items())
    assert all(p.requires_grad == (p is not frozen) for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert list(model.modules()) == layers
    assert not model.training
    assert torch.equal(model(x), logits)
    assert torch.equal(x, images)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)  # nothing is drawn


def test_the_copy_does_not_follow_the_original() -> None:
    model, x = network("digitscnn")
    fast = prepared(model, x)
    with torch.no_grad():
        before = fast(x)
        nn.init.zeros_(next(model.head.parameters()))
        nn.init.zeros_(next(model.body.parameters()))
        assert torch.equal(fast(x), before)
    assert torch.equal(slope(fast, x), slope(fast, x))


class Blurred(nn.Module):
    """A layer that draws noise each time."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.rand_like(x)


class Same(nn.Module):
    """A layer of one's own that happens to do nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_a_classifier_with_an_unknown_layer_stays_as_it_is() -> None:
    plain, x = tiny.classifier().eval(), torch.rand(4, 3, 8, 8)
    model = Classifier(nn.Sequential(Blurred(), plain.body), plain.head).eval()
    assert prepared(model, x) is model


def test_so_does_what_is_no_classifier() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    assert prepared(model, torch.rand(4, 3, 8, 8)) is model

    class Own(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flip(-1))

    plain = tiny.classifier().eval()
    own = Own(plain.body, plain.head).eval()
    assert prepared(own, torch.rand(4, 3, 8, 8)) is own


class Several(nn.Module):
    """Three classifiers, one of which stays as it is, and something done to their logits."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        plain = tiny.classifier()
        blurred = Classifier(nn.Sequential(nn.Identity(), plain.body, Same()), plain.head)
        self.first, self.second, self.third = tiny.classifier(), tiny.classifier(), blurred
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        logits = sum(part(x).softmax(1) for part in (self.first, self.second, self.third))
        assert isinstance(logits, Tensor)
        return logits + self.noise * torch.randn_like(logits)


def test_every_known_classifier_inside_a_module_is_prepared() -> None:
    model, x = Several().eval(), torch.rand(40, 3, 8, 8)
    fast = prepared(model, x)
    assert isinstance(fast, Several)
    assert fast is not model
    with torch.no_grad():
        assert torch.allclose(fast(x), model(x), atol=1e-5)
    for one in (model, fast):
        with counted(one) as passes:
            one(x)
        assert passes.forwards == 120
    bodies = [type(part.body) for part in (fast.first, fast.second, fast.third)]
    assert bodies[0] is bodies[1] is not nn.Sequential
    assert bodies[2] is nn.Sequential


def test_a_copy_that_would_answer_otherwise_is_not_used() -> None:
    model = Several(noise=0.1).eval()  # two looks differ, so that no copy can be checked
    assert prepared(model, torch.rand(4, 3, 8, 8)) is model


def test_large_batches_go_through_in_parts() -> None:
    model, x = tiny.classifier().eval(), torch.rand(8, 3, 8, 8)
    fast = prepared(model, x)
    count = 2 * PIXELS // 64 + 1
    many = x.repeat(-(-count // 8), 1, 1, 1)[:count]
    with torch.no_grad():
        assert torch.allclose(fast(many), model(many), atol=1e-5)
    assert torch.allclose(slope(fast, many), slope(model, many), atol=1e-5)
    with counted(fast) as passes:
        slope(fast, many)
    assert (passes.forwards, passes.backwards) == (count, count)


def test_an_architecture_is_traced_once_whatever_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Torch never frees what it has traced, so a copy each evaluation would fill the memory."""
    first, x = network("digitscnn")
    prepared(first, x)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("traced again")

    monkeypatch.setattr(torch.jit, "trace", never)
    torch.manual_seed(5)
    other = build("digitscnn", DATASETS["digits"], normalise=True).eval()
    nn.init.normal_(next(other.head.parameters()))
    with torch.no_grad():
        assert torch.allclose(prepared(other, x)(x), other(x), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(other(x), first(x), atol=1e-2)
