"""Purifiers: networks that rebuild a masked, noisy image before a classifier sees it."""

from collections.abc import Callable
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.models.critic import patch_critic
from robench.models.frozen import frozen
from robench.models.transforms import Drawn, Transform

PurifierName = Literal["gan", "auto-encoder"]


class Purifier(nn.Module):
    """Base of what rebuilds images; the passes through it are counted beside a classifier's."""

    critic: nn.Module | None
    """What an adversarial term trains against it; never part of its forward pass."""

    def __init__(self, critic: nn.Module | None = None) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1], rebuilt from what the mask, (B, 1, H, W), does not hide.

        The mask is 1 in holes, where x is 0.
        """
        raise NotImplementedError


class Inpainter(Purifier):
    """Gated convolutions that fill in holes (Yu et al. 2019, arXiv:1806.03589).

    Of moderate size: one stage instead of a coarse and a fine one, and no contextual attention.
    It sees the masked image, a channel of ones that tells borders from padding, and the mask.
    """

    def __init__(self, channels: int, width: int, critic: nn.Module | None = None) -> None:
        super().__init__(critic)
        self.body = Hourglass(Gated, channels + 2, width, channels, dilations=(2, 4))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The whole image, in [0, 1]: what was not hidden is rebuilt, too."""
        seen = torch.cat([_centred(x, mask), torch.ones_like(mask), mask], 1)
        return _image(self.body(seen), x, mask)


class AutoEncoder(Purifier):
    """Plain convolutions, in place of a masked auto-encoder (He et al. 2022, arXiv:2111.06377).

    Theirs is a transformer; images here are as small as 8x8.
    """

    def __init__(self, channels: int, width: int, critic: nn.Module | None = None) -> None:
        super().__init__(critic)
        self.body = Hourglass(_plain, channels + 1, width, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The whole image, in [0, 1]."""
        return _image(self.body(torch.cat([_centred(x, mask), mask], 1)), x, mask)


class Purified(nn.Module):
    """A frozen classifier behind a random transform and a purifier: f(g(t(x))).

    Every call draws anew from torch's generator, in eval mode as well. The whole output of the
    purifier is classified, not the holes alone; in rt3 each view gives what it had hidden.
    """

    def __init__(self, classifier: nn.Module, purifier: Purifier, transform: Transform) -> None:
        super().__init__()
        self.classifier, self.purifier, self.transform = classifier, purifier, transform
        self.classifier.eval()

    def train(self, mode: bool = True) -> Self:
        """Only the purifier: the classifier's statistics and dropout stay as in eval mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def purify(self, x: Tensor, drawn: Drawn) -> Tensor:
        """Images in [0, 1], transformed as drawn and rebuilt."""
        views = len(drawn.masks)
        shown = drawn.noisy(x) * (1 - drawn.masks)
        rebuilt: Tensor = self.purifier(shown.flatten(0, 1), drawn.masks.flatten(0, 1))
        if views == 1:
            return rebuilt
        return (rebuilt.unflatten(0, (views, -1)) * drawn.masks).sum(0)

    def classify(self, purified: Tensor) -> Tensor:
        """The classifier's logits; only the images get gradients."""
        with frozen(self.classifier):
            logits: Tensor = self.classifier(purified)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images in [0, 1]."""
        return self.classify(self.purify(x, self.transform.draw(x)))


def purifier(name: PurifierName, channels: int, width: int, *, critic: bool = False) -> Purifier:
    """A purifier with random weights, and beside it, if asked for, a critic to train it with."""
    kind = AutoEncoder if name == "auto-encoder" else Inpainter
    return kind(channels, width, patch_critic(channels, width) if critic else None)


class Gated(nn.Module):
    """A convolution whose outputs are let through as far as a second one, in (0, 1), says."""

    def __init__(self, inside: int, outside: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            inside, 2 * outside, 3, stride, padding=dilation, dilation=dilation
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width divided by the stride."""
        value, gate = self.convolution(x).chunk(2, 1)
        return F.elu(value) * gate.sigmoid()


def _plain(inside: int, outside: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, padding=1), nn.ReLU())


class Hourglass(nn.Module):
    """Down to a quarter of the height and width, and back; each size passes its details across.

    Without that, 8x8 images have to go through 2x2.
    """

    def __init__(
        self,
        layer: Callable[..., nn.Module],
        inside: int,
        width: int,
        outside: int,
        dilations: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.fine = layer(inside, width)
        self.middle = layer(width, 2 * width, stride=2)
        self.coarse = nn.Sequential(
            layer(2 * width, 4 * width, stride=2),
            layer(4 * width, 4 * width),
            *(layer(4 * width, 4 * width, dilation=dilation) for dilation in dilations),
        )
        self.to_middle = layer(4 * width, 2 * width)
        self.to_fine = layer(2 * width, width)
        # Torch's own initial weights shrink each layer's signal: with them the coarse part sleeps.
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)
        self.last = nn.Conv2d(width, outside, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width."""
        fine = self.fine(x)
        middle = self.middle(fine)
        middle = middle + self.to_middle(_grown(self.coarse(middle), middle))
        out: Tensor = self.last(fine + self.to_fine(_grown(middle, fine)))
        return out


def _grown(small: Tensor, large: Tensor) -> Tensor:
    """Twice as high and wide, cut to the size of another: a half of an odd side is rounded up."""
    return F.interpolate(small, scale_factor=2.0)[..., : large.shape[2], : large.shape[3]]


def _centred(x: Tensor, mask: Tensor) -> Tensor:
    """In [-1, 1], holes in the middle: grey, not black."""
    return (2 * x - 1) * (1 - mask)


def _image(out: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """In [0, 1], near the image that was shown before anything is learnt.

    From nothing, the L1 distance soon rests at the commonest grey level, the same in every pixel.
    """
    return (out + 3 * _centred(x, mask)).sigmoid()
