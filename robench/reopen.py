"""A trained cell from its folder alone: the network to attack, its data and its threat model."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import nn

from robench import settings
from robench.data.load import Data, load
from robench.errors import StoreError
from robench.evaluation.recognition import check_recognised
from robench.models.catalogue import build
from robench.models.classifier import Network
from robench.radius import parse_eps
from robench.settings import Plain
from robench.store.cell import Kept
from robench.store.grid import flat
from robench.store.records import CellFolder, check_weights, read_record
from robench.threat import Threat
from robench.training.checkpoint import restore
from robench.training.epochs import new_run
from robench.training.method import method
from robench.training.recipes import RECIPES


@dataclass(frozen=True)
class Reopened:
    """One checkpoint of a cell, as an evaluation sees it."""

    label: str
    """Method and changed settings, as in tables."""
    identity: Plain
    """What the cell's key is made of."""
    sha256: str
    """Of the weights."""
    model: nn.Module
    """In eval mode, on the device."""
    data: Data
    threat: Threat
    """That it was trained for."""
    eps: Fraction
    """The same radius, exactly."""


def reopen(
    folder: CellFolder,
    checkpoint: Kept,
    data_root: Path,
    device: torch.device,
    test_limit: int | None = None,
) -> Reopened:
    """Read a cell's weights and data.

    Raises:
        StoreError: the cell is not whole, its training failed, or its weights are damaged.
        DataError: its data set is not there, or is not the one that it was trained on.
        ConfigError, PluginError: its method, as it is now, no longer takes its settings.
    """
    record = read_record(folder.record)
    if record["status"] != "ok":
        raise StoreError(f"{folder.path} has no weights: {record['status']} {record['reason']}")
    identity, sha256 = record["identity"], record["checkpoints"][checkpoint]["sha256"]
    weights, dataset = folder.weights(checkpoint), identity["dataset"]
    check_weights(weights, sha256)
    data = load(
        dataset,
        data_root,
        device,
        train_limit=identity["train_limit"],
        test_limit=test_limit,
    )
    if data.digest != identity["data"]:
        raise StoreError(f"{folder.path} was trained on other images than {dataset}'s here")
    trainer = method(identity["method"], dataset, record["changes"], identity["model"])
    if settings.plain(trainer) != identity["settings"]:
        raise StoreError(f"{folder.path}: {identity['method']}'s presets were others when it ran")
    recipe = settings.change("recipe", RECIPES[dataset], _flat(identity["recipe"]))
    eps = parse_eps(identity["eps"], identity["norm"])
    threat = Threat(identity["norm"], float(eps))

    def classifier() -> Network:
        return build(identity["model"], data.facts, normalise=recipe.normalise)

    model = restore(
        weights, trainer, classifier, new_run(data, threat, recipe), identity["seed"], device
    )
    check_recognised(weights, model, data, identity["seed"], record["checkpoints"][checkpoint])
    return Reopened(record["label"], identity, sha256, model, data, threat, eps)


def _flat(plain: Plain) -> Mapping[str, object]:
    """Settings as they are changed: by dotted name, lists as tuples, without names of classes."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in flat(plain)
        if name.rpartition(".")[2] != "is"
    }
