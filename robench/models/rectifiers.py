"""Another layer in the place of every rectifier of a network."""

from collections.abc import Callable

from torch import nn

from robench.errors import ConfigError


def rectifiers(network: nn.Module) -> list[str]:
    """Where a network has an ``nn.ReLU``, by dotted name; one used in two places has two.

    Raises:
        ConfigError: it has none.
    """
    parts = network.named_modules(remove_duplicate=False)
    places = [name for name, part in parts if isinstance(part, nn.ReLU)]
    if not places:
        raise ConfigError(
            "this network has no nn.ReLU whose place another layer could take; choose another "
            "network with --model"
        )
    return places


def replaced(network: nn.Module, layer: Callable[[], nn.Module]) -> nn.Module:
    """The same network with a layer of its own in each of these places; changed in place.

    Raises:
        ConfigError: there are none.
    """
    for name in rectifiers(network):
        network.set_submodule(name, layer())
    return network
