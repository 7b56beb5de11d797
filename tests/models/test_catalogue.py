"""Networks: published sizes, logits of [0, 1] images, features and head."""

import pytest
import torch
from torch import nn

from robench.data.catalogue import DATASETS
from robench.errors import ConfigError
from robench.models.catalogue import MODELS, build, check
from robench.models.classifier import Classifier, MapClassifier, num_parameters
from robench.models.passes import counted
from robench.models.residual import PreAct, Standardise, _stages, wide_resnet

COUNTS = {
    # He et al. 2016, table 6: 0.27, 0.46, 0.66 and 0.85 million.
    "resnet20": ("cifar10", 269_722),
    "resnet32": ("cifar10", 464_154),
    "resnet44": ("cifar10", 658_586),
    "resnet56": ("cifar10", 853_018),
    "resnet18": ("cifar10", 11_173_962),
    "preactresnet18": ("cifar10", 11_172_170),
    # Zagoruyko & Komodakis 2016: 36.5 million.
    "wrn-28-10": ("cifar10", 36_479_194),
    "wrn-34-10": ("cifar10", 46_160_474),
    "wrn-32-10": ("cifar10", 45_901_914),
    "resnet50": ("imagenet", 25_557_032),
    "smallcnn": ("mnist", 312_202),
    "madrycnn": ("mnist", 3_274_634),
    "lenet": ("cifar10", 62_006),
    # By hand: 9 (3 x 160 + 10 x 160^2 + 160 x 320 + 9 x 320^2 + 320 x 640 + 9 x 640^2) + 6,400.
    "iaat-wrn-32-10": ("cifar10", 46_090_720),
}


def data_of(name: str) -> str:
    side = (MODELS[name].sides or (32,))[-1]
    return {8: "digits", 28: "mnist", 32: "cifar10", 224: "imagenet"}[side]


@pytest.mark.parametrize("name", COUNTS)
def test_as_many_parameters_as_published(name: str) -> None:
    dataset, count = COUNTS[name]
    assert num_parameters(build(name, DATASETS[dataset], normalise=True)) == count


def test_the_sense_authors_count_of_wrn_34_10() -> None:
    # They count 48,262,586, with an unused copy of the first stage in TRADES' file.
    body, head = wide_resnet(3, 10, 34, 10)
    first = next(part for part in body.children() if isinstance(part, nn.Sequential))
    total = num_parameters(body) + num_parameters(head) + num_parameters(first)
    assert total == 48_262_586


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_head_of_the_features(name: str) -> None:
    facts = DATASETS[data_of(name)]
    torch.manual_seed(0)
    model = build(name, facts, normalise=True).eval()
    x = torch.rand(2, *facts.shape)
    with torch.no_grad():
        logits, features = model(x), model.features(x)
    assert logits.shape == (2, facts.num_classes)
    assert features.ndim == 2
    if isinstance(model, Classifier):
        assert torch.equal(model.head(features), logits)
    assert logits.isfinite().all()


def test_logits_over_a_map_are_their_mean() -> None:
    body, linear = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 10, 1)
    model = MapClassifier(body, nn.Sequential(linear, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    x = torch.rand(4, 1, 8, 8)
    assert torch.allclose(model.features(x), body(x).mean((2, 3)))
    of_the_mean = linear(model.features(x)[:, :, None, None]).flatten(1)
    assert torch.allclose(model(x), of_the_mean, atol=1e-5)  # this head is linear


def test_iaat_s_network_has_no_learnt_scales() -> None:
    model = build("iaat-wrn-32-10", DATASETS["cifar10"], normalise=True)
    assert isinstance(model, MapClassifier)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(layers) == 2 * 15 + 2
    assert not any(layer.affine for layer in layers)
    with counted(model.eval()) as passes, torch.no_grad():
        model(torch.rand(2, 3, 32, 32))
    assert passes.forwards == 2


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if not m.sides and "wrn" not in n])
def test_large_images_fit(name: str) -> None:
    facts = DATASETS["imagenette"]
    check(name, "imagenette", facts)
    with torch.no_grad():
        model = build(name, facts, normalise=True).eval()
        assert model(torch.rand(1, *facts.shape)).shape == (1, 10)


def test_every_data_set_has_a_network_that_fits() -> None:
    for dataset, facts in DATASETS.items():
        check(facts.model, dataset, facts)


def test_a_network_that_does_not_fit_says_what_does() -> None:
    with pytest.raises(ConfigError, match="'smallcnn' takes 28x28 images; digits has 8x8"):
        check("smallcnn", "digits", DATASETS["digits"])
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        check("resnet-18", "cifar10", DATASETS["cifar10"])


def test_normalisation_is_inside() -> None:
    facts = DATASETS["cifar10"]
    plain, inside = (
        nn.Flatten(),
        Classifier(nn.Flatten(), nn.Linear(3072, 10), facts.mean, facts.std),
    )
    x = torch.rand(4, 3, 32, 32)
    mean = torch.tensor(facts.mean).view(1, 3, 1, 1)
    std = torch.tensor(facts.std).view(1, 3, 1, 1)
    assert torch.equal(inside.features(x), plain((x - mean) / std))
    assert {"mean", "std"} <= inside.state_dict().keys()
    without = build("resnet20", facts, normalise=False)
    assert (without.mean.item(), without.std.item()) == (0, 1)


def test_a_network_that_standardises_images_is_given_them_as_they_are() -> None:
    own = build("wrn-32-10", DATASETS["cifar10"], normalise=True)
    assert (own.mean.item(), own.std.item()) == (0, 1)


def test_standardised_images_have_mean_zero_and_deviation_one() -> None:
    x = torch.rand(4, 3, 8, 8) * 0.9
    out = Standardise()(x).flatten(1)
    assert torch.allclose(out.mean(1), torch.zeros(4), atol=1e-4)
    assert torch.allclose(out.std(1, correction=0), torch.ones(4), atol=1e-4)
    flat = Standardise()(torch.full((1, 3, 8, 8), 0.3))
    assert torch.allclose(flat, torch.zeros_like(flat), atol=1e-5)


def test_stages_halve_after_the_first() -> None:
    def block(inside: int, outside: int, stride: int) -> nn.Module:
        return nn.Conv2d(inside, outside, 3, stride, padding=1)

    stages = nn.Sequential(*_stages(block, 4, (4, 8, 16), 2))
    assert stages(torch.rand(1, 4, 16, 16)).shape == (1, 16, 4, 4)


def test_a_preact_block_adds_to_its_shortcut() -> None:
    block = PreAct(4, 4, 1, nn.Identity(), early=False).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)
