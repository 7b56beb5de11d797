"""Residual networks for small images, each as a body that ends in features, and a head."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from robench.models.classifier import Layers


class Basic(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, inside: int, outside: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3(inside, outside, stride), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = _conv3(outside, outside), nn.BatchNorm2d(outside)
        self.shortcut = shortcut
        self.rectify1, self.rectify2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width divided by the stride."""
        out = self.rectify1(self.bn1(self.conv1(x)))
        rectified: Tensor = self.rectify2(self.bn2(self.conv2(out)) + self.shortcut(x))
        return rectified


class PreAct(nn.Module):
    """Normalise and rectify before each convolution (He et al. 2016, arXiv:1603.05027).

    ``early``: the shortcut, too, takes the rectified input. ``slope``: of a leaky rectifier.
    ``affine``: whether normalisation has a scale and a shift that are learnt.
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        stride: int,
        shortcut: nn.Module,
        *,
        early: bool,
        slope: float = 0.0,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside, affine=affine)
        self.conv1 = _conv3(inside, outside, stride)
        self.bn2 = nn.BatchNorm2d(outside, affine=affine)
        self.conv2 = _conv3(outside, outside)
        self.shortcut, self.early = shortcut, early
        self.rectify1, self.rectify2 = _rectifier(slope), _rectifier(slope)

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width divided by the stride."""
        active = self.rectify1(self.bn1(x))
        out: Tensor = self.conv2(self.rectify2(self.bn2(self.conv1(active))))
        return out + self.shortcut(active if self.early else x)


class Padded(nn.Module):
    """A shortcut without weights: every second pixel, or their mean, and channels of zeros."""

    def __init__(self, inside: int, outside: int, stride: int, mean: bool = False) -> None:
        super().__init__()
        self.extra, self.stride, self.mean = outside - inside, stride, mean

    def forward(self, x: Tensor) -> Tensor:
        """Zeros on both sides of the channels, half and half."""
        x = F.avg_pool2d(x, self.stride) if self.mean else x[..., :: self.stride, :: self.stride]
        before = self.extra // 2
        return F.pad(x, (0, 0, 0, 0, before, self.extra - before))


class Standardise(nn.Module):
    """Each image minus its mean, over its standard deviation (at least 1/sqrt(pixels))."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        flat = x.flatten(1)
        std = flat.std(1, correction=0).clamp_min(flat.shape[1] ** -0.5)
        return ((flat - flat.mean(1, keepdim=True)) / std[:, None]).view_as(x)


def resnet(channels: int, classes: int, depth: int) -> Layers:
    """ResNet-20, -32, -44, -56 for CIFAR: three stages, shortcuts without weights (option A)."""

    def block(inside: int, outside: int, stride: int) -> nn.Module:
        kept = inside == outside and stride == 1
        return Basic(
            inside, outside, stride, nn.Identity() if kept else Padded(inside, outside, stride)
        )

    stages = _stages(block, 16, (16, 32, 64), (depth - 2) // 6)
    stem = (_conv3(channels, 16), nn.BatchNorm2d(16), nn.ReLU())
    return _he(nn.Sequential(*stem, *stages, *_pool()), "fan_in"), nn.Linear(64, classes)


def resnet18(channels: int, classes: int) -> Layers:
    """ResNet-18 with a 3x3 stem and no first pooling, as used on CIFAR."""

    def block(inside: int, outside: int, stride: int) -> nn.Module:
        if inside == outside and stride == 1:
            return Basic(inside, outside, stride, nn.Identity())
        learned = nn.Sequential(_conv1(inside, outside, stride), nn.BatchNorm2d(outside))
        return Basic(inside, outside, stride, learned)

    stages = _stages(block, 64, (64, 128, 256, 512), 2)
    stem = (_conv3(channels, 64), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(*stem, *stages, *_pool()), nn.Linear(512, classes)


def preactresnet18(channels: int, classes: int) -> Layers:
    """PreActResNet-18 with a last normalisation, as in Rice et al.'s robust_overfitting."""
    stages = _stages(_preact, 64, (64, 128, 256, 512), 2)
    last = (nn.BatchNorm2d(512), nn.ReLU(), *_pool())
    return nn.Sequential(_conv3(channels, 64), *stages, *last), nn.Linear(512, classes)


def wide_resnet(channels: int, classes: int, depth: int, width: int) -> Layers:
    """WRN-depth-width (Zagoruyko & Komodakis 2016, arXiv:1605.07146), no dropout."""
    widths = (16 * width, 32 * width, 64 * width)
    stages = _stages(_preact, 16, widths, (depth - 4) // 6)
    last = (nn.BatchNorm2d(widths[-1]), nn.ReLU(), *_pool())
    body = _he(nn.Sequential(_conv3(channels, 16), *stages, *last), "fan_out")
    return body, nn.Linear(widths[-1], classes)


def madry_wide_resnet(channels: int, classes: int) -> Layers:
    """Madry et al.'s "w32-10" for CIFAR-10: five units a stage, shortcuts without weights.

    Images are standardised one by one; rectifiers leak 0.1.
    """

    def block(inside: int, outside: int, stride: int) -> nn.Module:
        kept = inside == outside and stride == 1
        shortcut = nn.Identity() if kept else Padded(inside, outside, stride, mean=True)
        return PreAct(inside, outside, stride, shortcut, early=inside == 16, slope=0.1)

    stages = _stages(block, 16, (160, 320, 640), 5)
    last = (nn.BatchNorm2d(640), nn.LeakyReLU(0.1), *_pool())
    body = _he(nn.Sequential(Standardise(), _conv3(channels, 16), *stages, *last), "fan_out")
    return body, nn.Linear(640, classes)


def iaat_wide_resnet(channels: int, classes: int) -> Layers:
    """IAAT's form of a WRN-32-10: 160 channels from the first layer on, logits over a map.

    Normalisation has no learnt scale, shortcuts no weights, and the logits of every place are
    normalised before their mean is taken (the authors' repository).
    """

    def block(inside: int, outside: int, stride: int) -> nn.Module:
        kept = inside == outside and stride == 1
        shortcut = nn.Identity() if kept else Padded(inside, outside, stride, mean=True)
        return PreAct(inside, outside, stride, shortcut, early=False, affine=False)

    stages = _stages(block, 160, (160, 320, 640), 5)
    last = (nn.BatchNorm2d(640, affine=False), nn.ReLU())
    body = _he(nn.Sequential(_conv3(channels, 160), *stages, *last), "fan_out")
    logits = nn.BatchNorm2d(classes, affine=False)
    return body, nn.Sequential(_conv1(640, classes, 1), logits, *_pool())


def _stages(
    block: Callable[[int, int, int], nn.Module], inside: int, widths: tuple[int, ...], blocks: int
) -> list[nn.Module]:
    """Stages of equal blocks; every stage but the first halves height and width."""
    stages: list[nn.Module] = []
    for number, outside in enumerate(widths):
        first = block(inside, outside, 1 if number == 0 else 2)
        stages.append(
            nn.Sequential(first, *[block(outside, outside, 1) for _ in range(blocks - 1)])
        )
        inside = outside
    return stages


def _preact(inside: int, outside: int, stride: int) -> nn.Module:
    if inside == outside and stride == 1:
        return PreAct(inside, outside, stride, nn.Identity(), early=False)
    return PreAct(inside, outside, stride, _conv1(inside, outside, stride), early=True)


def _he(body: nn.Module, mode: Literal["fan_in", "fan_out"]) -> nn.Module:
    """He et al.'s normal initialisation of all convolutions."""
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
    return body


def _rectifier(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def _pool() -> tuple[nn.Module, nn.Module]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten()


def _conv3(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)


def _conv1(inside: int, outside: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 1, stride, bias=False)
