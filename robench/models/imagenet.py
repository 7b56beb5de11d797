"""Networks for photographs of ImageNet's size, as torchvision builds them, with random weights."""

from torch import nn

from robench.models.classifier import Layers


def resnet50(channels: int, classes: int) -> Layers:
    """Everything before the last layer as the body; it takes colour images only."""
    from torchvision import models

    network = models.resnet50(num_classes=classes)
    head, network.fc = network.fc, nn.Identity()
    return network, head
