"""One thread, the tiny task, real data where it is, and commands run in an empty folder."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import settings as hypothesis_settings
from torch import Tensor, nn

from robench.check import tiny
from robench.data.batches import Batch
from robench.data.load import Data
from robench.threat import Threat
from robench.training.epochs import new_run
from robench.training.method import Run
from tests.probing import quickly_probed, unpriced

torch.set_num_threads(1)  # tiny tensors: a second thread only waits
hypothesis_settings.register_profile("robench", deadline=None, derandomize=True)
hypothesis_settings.load_profile("robench")

_root = os.environ.get("ROBENCH_DATA_ROOT") or os.environ.get("TESTS_DATA_ROOT")
DATA_ROOT = Path(_root).absolute() if _root else None
"""Where real data are, as the one who runs the tests has set it."""

# Options come from the environment, too, and what a user has set there is not for the tests:
# a test of missing data would find the real ones and train on them. The processes among which
# pytest-xdist shares the tests start from here, so they are told by another name.
if DATA_ROOT is not None:
    os.environ["TESTS_DATA_ROOT"] = str(DATA_ROOT)
for _name in [name for name in os.environ if name.startswith("ROBENCH_")]:
    del os.environ[_name]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk() -> Iterator[None]:
    """What robench writes is on the disk at once: milliseconds, thousands of times.

    No test cuts the power; those of a full disk put something else in its place.
    """
    with mock.patch("os.fsync"):
        yield


@pytest.fixture
def robench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run the command line in an empty folder, as ``robench("run", "-m", "madry")``."""
    from robench.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBENCH_SUITE", "quick")  # tests of the grid need no dear attacks
    monkeypatch.setenv("ROBENCH_JOBS", "0")  # and no process each; test_isolation has those

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as end, unpriced():
            main(arguments)
        printed = capsys.readouterr()
        return Outcome(int(end.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, ...], Outcome]]:
    """Results folders that tests begin with, and what was said when they were made."""
    return tmp_path_factory.mktemp("shelf"), {}


@pytest.fixture
def once(
    robench: Callable[..., Outcome], shelf: tuple[Path, dict[tuple[str, ...], Outcome]]
) -> Callable[..., Outcome]:
    """``robench`` for how several tests begin: what it leaves is made once, and copied after that.

    Where the folder has plugins or files of its own, ``robench`` is what is wanted.
    """
    folder, known = shelf

    def run(*arguments: str) -> Outcome:
        made = folder / str(list(known).index(arguments) if arguments in known else len(known))
        if arguments in known:
            shutil.copytree(made, "results")
        else:
            known[arguments] = robench(*arguments)
            shutil.copytree("results", made)
        return known[arguments]

    return run


@pytest.fixture
def data() -> Data:
    """The tiny task: four classes of 8x8 images."""
    return tiny.data()


@pytest.fixture
def threat() -> Threat:
    """The tiny task's Linf ball."""
    return Threat("Linf", float(tiny.FACTS.eps["Linf"]))


@pytest.fixture
def run(data: Data, threat: Threat) -> Run:
    """A training of the tiny task, half way through."""
    new = new_run(data, threat, tiny.RECIPE)
    new.progress = 0.5
    return new


@pytest.fixture
def batch(data: Data) -> Batch:
    """The first 64 training images."""
    index = torch.arange(64)
    return Batch(data.train.x(index), data.train.y[index], index)


@pytest.fixture
def short_probes() -> Iterator[None]:
    """Looks for masking that are over at once, for tests that are about something else."""
    with quickly_probed():
        yield


@pytest.fixture
def soon_over(short_probes: None) -> Iterator[None]:
    """Every cell of the command line's tests is probed, every report drawn; few tests look."""
    from tests.drawing import quickly_drawn

    with quickly_drawn():
        yield


@dataclass(frozen=True)
class Unsure:
    """A network with random images that it has half learnt: its probabilities are spread out."""

    model: nn.Module
    batch: Batch


@pytest.fixture(scope="session")
def unsure() -> Unsure:
    """256 random 8x8 images, and a small network without batch normalisation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x, y = torch.rand(256, 3, 8, 8), torch.randint(0, 4, (256,))
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 4),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        for _ in range(45):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return Unsure(model.eval().requires_grad_(False), Batch(x, y, torch.arange(256)))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """A torchvision root with MNIST and CIFAR-10, or a reason to skip."""
    if DATA_ROOT is None or not (DATA_ROOT / "MNIST").is_dir():
        pytest.skip("needs real data: set ROBENCH_DATA_ROOT to a torchvision root with MNIST")
    return DATA_ROOT


def confidence(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Probability of the true class of each image."""
    return model(x).softmax(1).gather(1, y[:, None]).squeeze(1)
