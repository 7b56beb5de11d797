"""Feature denoising: networks with blocks that take means over a map (Xie et al. 2019)."""

from collections.abc import Mapping

from torch import Tensor, nn

from robench.models import residual, small
from robench.models.classifier import Layers


class Denoise(nn.Module):
    """A map, and to it added, at each place, a mean of all places that weighs like ones more.

    The form with softmax and embeddings of arXiv:1812.03411: y = x + norm(conv(z)), where z_i is
    the mean of x_j with weights softmax_j(theta(x)_i . phi(x)_j / sqrt(d)), d being half the
    channels. The scale of norm starts at 0: the block, and with it all the network, starts as if
    it were not there. Initial weights are those of the authors' resnet_model.py.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.theta = nn.Conv2d(width, half, 1, bias=False)
        self.phi = nn.Conv2d(width, half, 1, bias=False)
        self.conv = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.scale = half**-0.5
        nn.init.normal_(self.theta.weight, std=0.01)
        nn.init.normal_(self.phi.weight, std=0.01)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same."""
        theta, phi = self.theta(x).flatten(2), self.phi(x).flatten(2)
        weights = (self.scale * theta.transpose(1, 2) @ phi).softmax(2)  # (B, places, places)
        means = (x.flatten(2) @ weights.transpose(1, 2)).view_as(x)
        out: Tensor = x + self.norm(self.conv(means))
        return out


def digits_cnn(channels: int, classes: int) -> Layers:
    """The network for 8x8 images, a block where each of its two sizes ends."""
    body, head = small.digits_cnn(channels, classes)
    return _with_blocks(body, {2: 32, 8: 64}), head


def madry_cnn(channels: int, classes: int) -> Layers:
    """Madry et al.'s network for MNIST, a block after each pooling."""
    body, head = small.madry_cnn(channels, classes)
    return _with_blocks(body, {2: 32, 5: 64}), head


def resnet18(channels: int, classes: int) -> Layers:
    """ResNet-18, a block after each of its four stages, as in the authors' ResNet-152."""
    body, head = residual.resnet18(channels, classes)
    return _with_blocks(body, {3: 64, 4: 128, 5: 256, 6: 512}), head


def _with_blocks(body: nn.Module, widths: Mapping[int, int]) -> nn.Module:
    """Blocks after some layers, by their place; drawn last, so that the others stay as they are."""
    layers = list[nn.Module]()
    for place, layer in enumerate(body.children()):
        layers.append(layer)
        if place in widths:
            layers.append(Denoise(widths[place]))
    return nn.Sequential(*layers)
