"""The networks that benchmarks attack: weights that robench has trained, and test images.

Weights are looked for in folders of results. What is in none of them is trained there once, by
``robench run`` as a user would: by madry, because an undefended network stands nothing and costs an
attack next to nothing.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor, nn

from robench.data import catalogue
from robench.data.load import load
from robench.errors import RobenchError, StoreError
from robench.radius import Norm, show_eps
from robench.reopen import reopen
from robench.store.records import CellFolder, cell_folders, check_weights, read_record
from robench.threat import Threat

METHOD = "madry"

NORM: Norm = "Linf"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A data set, the network for it, and how its weights come about."""

    dataset: str
    model: str
    images: int
    """Test images that are attacked."""
    settings: str = ""
    """Of the method, in brackets as on the command line."""
    options: tuple[str, ...] = ()
    """Of the training, beyond robench's own for the data set."""
    minutes: int
    """Of training on one core, about."""


NETWORKS: Mapping[str, Network] = {
    "digits": Network(dataset="digits", model="digitscnn", images=360, minutes=1),
    # Ours: a fast recipe that gets over the plateau at which MNIST's training can stay at eps 0.3.
    "mnist": Network(
        dataset="mnist",
        model="smallcnn",
        images=200,
        settings="[attack.steps=10,attack.step_size=0.06]",
        options=(
            "--train-limit", "10000", "--set", "recipe.epochs=6", "--set", "recipe.optimizer=adam",
            "--set", "recipe.lr=1e-3", "--set", "recipe.batch_size=64", "--set",
            "recipe.schedule=cosine", "--set", "recipe.validate_every=3",
            "--set", "recipe.validation_images=200",
        ),
        minutes=10,
    ),
    # Wong et al. 2020 (arXiv:2001.03994): one step of 1.25 eps and a cyclic learning rate.
    "cifar10": Network(
        dataset="cifar10",
        model="resnet18",
        images=200,
        settings="[attack.steps=1,attack.step_size=0.039]",
        options=(
            "--train-limit", "10000", "--set", "recipe.epochs=6", "--set", "recipe.schedule=cyclic",
            "--set", "recipe.validate_every=6", "--set", "recipe.validation_images=200",
        ),
        minutes=40,
    ),
}  # fmt: skip


class NoWeights(RobenchError):  # noqa: N818 - it skips a network; nothing erred
    """A network is not trained, and training it would take too long here."""


@dataclass(frozen=True)
class Subject:
    """A trained network, the images it is attacked on, and the threat model."""

    name: str
    model: nn.Module
    """In eval mode, as it was trained: nothing is folded or frozen."""
    x: Tensor
    y: Tensor
    index: Tensor
    """Positions of the images among the test images, (B,)."""
    threat: Threat
    eps: str
    cell: Path
    sha256: str
    """Of the weights."""

    def at(self, index: Tensor | slice) -> "Subject":
        """The same on some of the images: positions, or a mask."""
        return replace(self, x=self.x[index], y=self.y[index], index=self.index[index])

    def within(self, norm: Norm, eps: Fraction) -> "Subject":
        """The same in another ball."""
        return replace(self, threat=Threat(norm, float(eps)), eps=show_eps(eps))


@dataclass(frozen=True)
class Place:
    """Where weights and images come from."""

    weights: tuple[Path, ...]
    """Folders of results that are only read."""
    results: Path
    """The folder of results that is trained into."""
    data_root: Path
    threads: int = 1
    patience: float = float("inf")
    """Minutes of training that may be spent on a network."""


def subject(name: str, place: Place, images: int) -> Subject:
    """A trained network and the first images of its test part.

    Raises:
        DataError: its data set is not there.
        NoWeights: neither are its weights, and there is no time to train them.
    """
    network, cpu = NETWORKS[name], torch.device("cpu")
    load(network.dataset, place.data_root, cpu, test_limit=1)  # or there is nothing to train on
    folder = _found(network, place) or _trained(network, place)
    found = reopen(folder, "best", place.data_root, cpu, test_limit=images)
    x, y = found.data.test.x(), found.data.test.y
    index, eps = torch.arange(len(y)), show_eps(found.eps)
    return Subject(name, found.model, x, y, index, found.threat, eps, folder.path, found.sha256)


def _found(network: Network, place: Place) -> CellFolder | None:
    """The first cell of the network that has its weights: earlier folders and seeds come first."""
    for results in (*place.weights, place.results):
        cells = [folder for folder in cell_folders(results) if _fits(network, folder)]
        if cells:
            return min(cells, key=lambda folder: folder.path.name)
    return None


def _fits(network: Network, folder: CellFolder) -> bool:
    """Whether a cell is the network, trained at the usual radius, with whole weights."""
    facts = catalogue.facts(network.dataset)
    wanted = {
        "method": METHOD,
        "dataset": network.dataset,
        "model": network.model,
        "norm": NORM,
        "eps": show_eps(facts.eps[NORM]),
    }
    try:
        record = read_record(folder.record)
        if record["status"] != "ok" or not wanted.items() <= record["identity"].items():
            return False
        check_weights(folder.weights("best"), record["checkpoints"]["best"]["sha256"])
    except (StoreError, KeyError):
        return False
    return True


def _trained(network: Network, place: Place) -> CellFolder:
    """Trained by a process of its own, which attacks a few images after it as any run does."""
    if network.minutes > place.patience:
        raise NoWeights(
            f"no weights; without --quick they are trained once, for about {network.minutes} "
            "minutes, and --weights takes them from a folder of results"
        )
    where = place.results
    what = f"{network.dataset}: training {network.model} once, about {network.minutes} minutes"
    print(f"{what}, in {where}", file=sys.stderr, flush=True)
    code = "from robench.cli.main import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, *_arguments(network, place)],
        check=False,
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROBENCH_")},
    )
    folder = _found(network, place)
    if folder is None:
        raise NoWeights(f"its training left no weights in {where}")
    return folder


def _arguments(network: Network, place: Place) -> Sequence[str]:
    """Of ``robench run``; only weights are wanted, so a few images are attacked at the end."""
    return [
        "run", "--methods", METHOD + network.settings, "--dataset", network.dataset,
        "--model", network.model, "--norm", NORM, "--seeds", "0", "--checkpoints", "best",
        "--suite", "quick", "--test-limit", "8", "--device", "cpu",
        "--threads", str(place.threads), "--data-root", str(place.data_root),
        "--results", str(place.results), *network.options,
    ]  # fmt: skip
