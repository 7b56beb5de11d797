"""What is run, and its key: the same key means the same numbers, on any machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal, get_args

from robench.radius import Norm, show_eps
from robench.settings import Plain
from robench.store.files import digest
from robench.training.recipe import Recipe, plain

PROTOCOL = 1
"""Counts up when the same key would no longer give the same weights; older cells are redone."""

ATTACKED = 3
"""The same for evaluations."""

Kept = Literal["best", "last"]
KEPT: tuple[Kept, ...] = get_args(Kept)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training: a method with its settings, data, network, threat model and seed."""

    method: str
    plugin: str
    """Digest of the files that the method is made of."""
    settings: Plain
    recipe: Recipe
    dataset: str
    data: str
    """Digest of the data set's images and labels."""
    train_limit: int | None
    model: str
    norm: Norm
    eps: Fraction
    seed: int
    start: str = ""
    """Key of the cell whose weights training starts with."""
    extra: str = ""
    """Digest of the extra images that the method trains on; empty: there are none."""
    changes: Mapping[str, object] = field(default_factory=dict)
    """Settings asked for beyond the preset: enough to make the method again. Not in the key."""
    label: str = ""
    """Method and changed settings, as in tables. Not in the key."""
    deviates: str = ""
    """Where its recipe departs from the shared one. Not in the key."""

    @cached_property
    def identity(self) -> Plain:
        """Everything the key is made of, as plain values."""
        return {
            "protocol": PROTOCOL,
            "method": self.method,
            "plugin": self.plugin,
            "settings": self.settings,
            "recipe": plain(self.recipe),
            "dataset": self.dataset,
            "data": self.data,
            "train_limit": self.train_limit,
            "model": self.model,
            "norm": self.norm,
            "eps": show_eps(self.eps),
            "seed": self.seed,
            "start": self.start,
            **({"extra": self.extra} if self.extra else {}),
        }

    @cached_property
    def key(self) -> str:
        """SHA-256 of the identity."""
        return digest(self.identity)

    @property
    def name(self) -> str:
        """The cell's folder."""
        return cell_name(self.identity, self.key)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One checkpoint of a cell under one suite at one radius."""

    cell: str
    """The cell's key."""
    checkpoint: Kept
    suite: str
    judge: Plain
    """What the suite is: ``plugin``, the digest of its files; its ``attacks`` in order with every
    setting; ``rules`` of how outcomes are judged; names and versions of the ``packages`` that its
    attacks come from; and the same for ``when_random``, the suite that may take its place."""
    norm: Norm
    eps: Fraction
    test_limit: int | None
    sources: Mapping[str, str] = field(default_factory=dict)
    """Keys of the cells that images are crafted on, by method; none of them is the cell itself."""
    sweep: tuple[Fraction, ...] = ()
    """All radii of the sweep that this one is part of; none: it stands for itself."""
    adaptive: Plain = field(default_factory=dict)
    """The method's own attack with its settings, where it has one."""

    @cached_property
    def identity(self) -> Plain:
        """Everything the key is made of, as plain values."""
        return {
            "protocol": ATTACKED,
            "cell": self.cell,
            "checkpoint": self.checkpoint,
            "suite": self.suite,
            **self.judge,
            "norm": self.norm,
            "eps": show_eps(self.eps),
            "test_limit": self.test_limit,
            "sources": dict(self.sources),
            "sweep": [show_eps(eps) for eps in self.sweep],
            **({"adaptive": self.adaptive} if self.adaptive else {}),
        }

    @cached_property
    def key(self) -> str:
        """SHA-256 of the identity."""
        return digest(self.identity)

    @property
    def name(self) -> str:
        """The evaluation's files, without their endings."""
        return evaluation_name(self.identity, self.key)


def cell_name(identity: Plain, key: str) -> str:
    """The folder of a cell, from what its key is made of."""
    first = "-".join(str(identity[name]) for name in ("method", "dataset", "model"))
    return f"{first}-s{identity['seed']}-{key[:8]}"


def evaluation_name(identity: Plain, key: str) -> str:
    """An evaluation's files without their endings, from what its key is made of."""
    first = "-".join(str(identity[name]) for name in ("checkpoint", "suite", "norm"))
    return f"{first}-{identity['eps'].replace('/', '_')}-{key[:8]}"
