"""Foreign tensors into one of robench's networks: all of them and nothing else, or an error."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from robench.errors import ForeignError
from robench.models.classifier import Network

Tensors = Mapping[str, Tensor]

SCALING = ("mean", "std")
"""A network's own normalisation, which files from elsewhere seldom have."""

_COUNTER = "num_batches_tracked"
"""Of batch normalisation: counts steps of training, and files from before torch 0.4.1 lack it."""


def fit(network: Network, tensors: Tensors) -> list[str]:
    """Load tensors of the network's own names; what was filled in because they lack it.

    Raises:
        ForeignError: some are missing, are not the network's, or have another shape or type.
    """
    own = network.state_dict()
    optional = {name for name in own if name in SCALING}
    if not any(name.endswith(_COUNTER) for name in tensors):
        optional |= {name for name in own if name.endswith(_COUNTER)}
    filled = [name for name in own if name in optional and name not in tensors]
    given = {**tensors, **{name: own[name] for name in filled}}
    problems = list(_problems(own, given))
    if problems:
        hint = "; --by-shape takes them in order" if _same_order(own, tensors) else ""
        raise ForeignError(f"does not fit the network: {'; '.join(problems)}{hint}")
    network.load_state_dict(given, strict=True)
    return filled


def by_shape(network: Network, tensors: Tensors) -> dict[str, str]:
    """The network's names to a file's, matched by order, where that leaves no choice.

    Both must have the same shapes and last names (weight, bias, running_mean, ...) in the same
    order. Two equal layers in another order would still be taken for each other, which no file can
    tell: the accuracy does.

    Raises:
        ForeignError: the two sequences differ.
    """
    ours, theirs = _in_order(network.state_dict()), _in_order(tensors)
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if mine[1:] != other[1:]:
            raise ForeignError(
                f"cannot be matched by shape: number {number} is {_shown(other)}, and the "
                f"network's {_shown(mine)}"
            )
    if len(ours) != len(theirs):
        counts = f"it has {len(theirs)} tensors, and the network {len(ours)}"
        raise ForeignError(f"cannot be matched by shape: {counts}")
    pairs = {mine[0]: other[0] for mine, other in zip(ours, theirs, strict=True)}
    return pairs | {name: name for name in SCALING if name in tensors}


def _problems(own: Tensors, given: Tensors) -> Iterator[str]:
    missing = [repr(name) for name in own if name not in given]
    unknown = [repr(name[:80]) for name in given if name not in own]
    wrong = [
        f"{name!r} {(*given[name].shape,)} and not {(*own[name].shape,)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    kinds = [
        f"{name!r} {given[name].dtype} and not {own[name].dtype}"
        for name in own
        if name in given and given[name].is_floating_point() != own[name].is_floating_point()
    ]
    for what, names in (
        ("missing", missing), ("not the network's", unknown), ("of another shape", wrong),
        ("of another type", kinds),
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{len(names)} {what} ({', '.join(names[:3])}{more})"


def _same_order(own: Tensors, tensors: Tensors) -> bool:
    pairs = _in_order(own), _in_order(tensors)
    return [of[1:] for of in pairs[0]] == [of[1:] for of in pairs[1]]


def _in_order(tensors: Tensors) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, last name and shape of all that is matched."""
    return [
        (name, name.rpartition(".")[2], (*tensor.shape,))
        for name, tensor in tensors.items()
        if name not in SCALING and not name.endswith(_COUNTER)
    ]


def _shown(one: tuple[str, str, tuple[int, ...]]) -> str:
    return f"{one[0][:80]!r} {one[2]}"
