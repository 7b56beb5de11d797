"""The networks robench knows by name: facts that need no torch, and the one way to build them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robench import names
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.data.catalogue import Facts
    from robench.models.classifier import Network


@dataclass(frozen=True)
class Model:
    """A network: where its maker is, and which images it takes."""

    summary: str
    maker: str
    """``module:function`` below ``robench.models``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    sides: tuple[int, ...] = ()
    """Heights it takes; empty: any from 16 up."""
    standardises: bool = False
    """It scales each image itself, so the data set's mean and deviation are not used."""


_WRN = "wide residual network (Zagoruyko & Komodakis 2016, arXiv:1605.07146)"
_RESNET = "residual network for CIFAR, option A (He et al. 2016, arXiv:1512.03385)"
_LENET = "LeNet-like, from SENSE's appendix (Kim & Wang 2022, arXiv:2205.10457)"
_DENOISE = "with feature denoising after its stages (Xie et al. 2019, arXiv:1812.03411)"
_PURSUIT = "codes of three layers found together (Cazenavette et al. 2021, arXiv:2011.14427)"

MODELS: Mapping[str, Model] = {
    "digitscnn": Model("three convolutions for 8x8 images; ours", "small:digits_cnn", sides=(8,)),
    "digitscnn-small": Model(
        "the same with 8 filters in its first layer, not 32", "small:digits_cnn", {"width": 8}, (8,)
    ),
    "digitscnn-tiny": Model(
        "the same with 4 filters in its first layer", "small:digits_cnn", {"width": 4}, (8,)
    ),
    "smallcnn": Model(
        "TRADES' network for MNIST (Zhang et al. 2019, arXiv:1901.08573)",
        "small:small_cnn",
        sides=(28,),
    ),
    "madrycnn": Model(
        "Madry's network for MNIST (Madry et al. 2018, arXiv:1706.06083)",
        "small:madry_cnn",
        sides=(28,),
    ),
    "lenet": Model(f"{_LENET}: 120, 84 units", "small:lenet", {"widths": (120, 84)}, (28, 32)),
    "lenet-small": Model(f"{_LENET}: 30, 21 units", "small:lenet", {"widths": (30, 21)}, (28, 32)),
    **{
        f"resnet{depth}": Model(_RESNET, "residual:resnet", {"depth": depth})
        for depth in (20, 32, 44, 56)
    },
    "resnet18": Model("ResNet-18 with a 3x3 stem", "residual:resnet18"),
    "preactresnet18": Model(
        "PreActResNet-18 (He et al. 2016, arXiv:1603.05027)", "residual:preactresnet18"
    ),
    "resnet50": Model(
        "torchvision's ResNet-50, with a 7x7 stem (He et al. 2016, arXiv:1512.03385)",
        "imagenet:resnet50",
        sides=(160, 224),
    ),
    "wrn-28-10": Model(_WRN, "residual:wide_resnet", {"depth": 28, "width": 10}),
    "wrn-34-10": Model(_WRN, "residual:wide_resnet", {"depth": 34, "width": 10}),
    "wrn-32-10": Model(
        "Madry's w32-10: 16-160-320-640, shortcuts without weights, images standardised one by one",
        "residual:madry_wide_resnet",
        standardises=True,
    ),
    "iaat-wrn-32-10": Model(
        "IAAT's WRN-32-10: 160 channels at once, logits over a map (arXiv:1910.08051)",
        "residual:iaat_wide_resnet",
    ),
    "denoise-digitscnn": Model(f"digitscnn {_DENOISE}", "denoise:digits_cnn", sides=(8,)),
    "denoise-madrycnn": Model(f"madrycnn {_DENOISE}", "denoise:madry_cnn", sides=(28,)),
    # Each place is compared with every other: at 160x160 an image would take 2.6 GB a layer.
    "denoise-resnet18": Model(f"resnet18 {_DENOISE}", "denoise:resnet18", sides=(28, 32)),
    "pursuit": Model(f"{_PURSUIT}, three rounds", "pursuit:pursuit", {"steps": 3}, (8, 28, 32)),
    "pursuit-t1": Model(
        f"{_PURSUIT}, one: its feed-forward network", "pursuit:pursuit", {"steps": 1}, (8, 28, 32)
    ),
}


def check(name: str, dataset: str, facts: Facts) -> None:
    """Raise when there is no such network, or it does not take the data set's images."""
    model = MODELS[names.known("model", name, MODELS)]
    side = facts.shape[1]
    if side not in model.sides and (model.sides or side < 16):
        takes = " or ".join(f"{s}x{s}" for s in model.sides) or "16x16 and larger"
        raise ConfigError(f"model {name!r} takes {takes} images; {dataset} has {side}x{side}")


def build(name: str, facts: Facts, *, normalise: bool) -> Network:
    """A new network with random weights for a data set's images and classes."""
    from torch import nn

    from robench.models.classifier import Classifier, MapClassifier

    model = MODELS[names.known("model", name, MODELS)]
    module, function = model.maker.split(":")
    maker = getattr(importlib.import_module(f"robench.models.{module}"), function)
    size = {"size": facts.shape[1]} if function == "lenet" else {}
    body, head = maker(facts.shape[0], facts.num_classes, **size, **model.settings)
    scaled = normalise and not model.standardises
    shape = Classifier if isinstance(head, nn.Linear) else MapClassifier
    return shape(body, head, *((facts.mean, facts.std) if scaled else ()))
