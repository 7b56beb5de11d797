"""Small convolutional networks, each as a body that ends in features, and a head."""

from torch import nn

from robench.models.classifier import Layers


def digits_cnn(channels: int, classes: int, width: int = 32) -> Layers:
    """Three convolutions with batch normalisation for 8x8 images; ours."""
    body = nn.Sequential(
        *_normalised(channels, width),
        *_normalised(width, 2 * width, stride=2),
        *_normalised(2 * width, 2 * width),
        nn.Flatten(),
        nn.Linear(2 * width * 4 * 4, 4 * width),
        nn.ReLU(),
    )
    return body, nn.Linear(4 * width, classes)


def small_cnn(channels: int, classes: int) -> Layers:
    """TRADES' network for MNIST with its dropout and its head of zeros (Zhang et al. 2019)."""
    body = nn.Sequential(
        nn.Conv2d(channels, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 200), nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(200, 200), nn.ReLU(),
    )  # fmt: skip
    for layer in body:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    head = nn.Linear(200, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return body, head


def madry_cnn(channels: int, classes: int) -> Layers:
    """The network of Madry et al.'s MNIST challenge: two 5x5 convolutions and 1,024 features."""
    body = nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 1024), nn.ReLU(),
    )  # fmt: skip
    return body, nn.Linear(1024, classes)


def lenet(channels: int, classes: int, size: int, widths: tuple[int, int]) -> Layers:
    """LeNet-like: 6 and 16 filters of 5x5, two linear layers (SENSE's appendix)."""
    side = ((size - 4) // 2 - 4) // 2
    body = nn.Sequential(
        nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * side * side, widths[0]), nn.ReLU(),
        nn.Linear(widths[0], widths[1]), nn.ReLU(),
    )  # fmt: skip
    return body, nn.Linear(widths[1], classes)


def _normalised(inside: int, outside: int, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outside), nn.ReLU()
