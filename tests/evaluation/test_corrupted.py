"""Accuracy under corruptions: every number against a slow loop over scripted answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robench.adversary.measure import Reading
from robench.check import tiny
from robench.data import cifar10c
from robench.data.corruptions.catalogue import KINDS, shown
from robench.data.corruptions.made import corrupt
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.corrupted import Corrupted, CorruptedFiles
from robench.seeds import seeded
from robench.threat import Threat

THREAT = Threat("Linf", 0.1)


@pytest.fixture(scope="module")
def data() -> Data:
    return tiny.data(test=20)


class Pixels(nn.Module):
    """Which quarter is bright, by one red pixel of each: corruptions can change it."""

    def forward(self, x: Tensor) -> Tensor:
        quarter = x.shape[-1] // 4
        return x[:, 0, quarter - 1 :: 2 * quarter, quarter - 1 :: 2 * quarter].flatten(1)


class Drawing(Pixels):
    """Wrong three times in ten, anew at every look."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        wrong = torch.rand(len(x), 1) < 0.3
        return torch.where(wrong, -logits, logits)


def numbers(reading: Reading) -> dict[str, float]:
    return {value.name: value.value for value in reading.values}


def test_every_number_is_that_of_a_slow_loop(data: Data) -> None:
    model, x, y = Pixels(), data.test.x(), data.test.y
    found = Corrupted(seed=3)(model, data, THREAT)
    survived, by_kind = torch.zeros(20), dict[str, list[float]]()
    by_severity: list[list[float]] = [[] for _ in range(5)]
    for kind in KINDS:
        for severity in range(1, 6):
            right = model(corrupt(x, kind, severity, 3) / 255).argmax(1) == y
            survived += right
            by_kind.setdefault(kind, []).append(right.double().mean().item())
            by_severity[severity - 1].append(right.double().mean().item())
    ours = numbers(found)
    assert found.images["survived"].tolist() == survived.tolist()
    assert ours["natural accuracy"] == 1
    assert ours["mean accuracy"] == pytest.approx(survived.mean().item() / 75)
    assert 0 < ours["mean accuracy"] < 1
    assert ours["accuracy lost"] == pytest.approx(1 - ours["mean accuracy"])
    assert ours["mean corruption error"] == pytest.approx(1 - ours["mean accuracy"])
    for kind, accuracies in by_kind.items():
        assert ours[shown(kind)] == pytest.approx(np.mean(accuracies))
    for family in ("noise", "blur", "weather", "digital"):
        mine = [np.mean(of) for kind, of in by_kind.items() if KINDS[kind] == family]
        assert ours[f"{family}, mean"] == pytest.approx(np.mean(mine))
    assert len(ours) == 4 + 4 + 15
    (curve,) = found.curves
    assert curve.x.tolist() == [1, 2, 3, 4, 5]
    assert curve.y.tolist() == pytest.approx([np.mean(of) for of in by_severity])


def test_intervals_are_of_images_and_stay_accuracies(data: Data) -> None:
    found = Corrupted()(Pixels(), data, THREAT)
    share = found.images["survived"] / 75
    (mean,) = [value for value in found.values if value.name == "mean accuracy"]
    half = 1.96 * float(np.std(share.numpy(), ddof=1)) / 20**0.5
    assert mean.low == pytest.approx(mean.value - half)
    assert mean.high == pytest.approx(min(mean.value + half, 1))
    for value in found.values:
        if value.low is not None and value.high is not None:
            assert 0 <= value.low <= value.value <= value.high <= 1


def test_images_are_the_same_for_every_cell_and_radius(data: Data) -> None:
    readings = []
    for seed, eps in ((0, 0.1), (1, 0.1), (0, 0.5)):
        with seeded(seed):
            readings.append(repr(Corrupted()(Pixels(), data, Threat("Linf", eps)).values))
    assert len(set(readings)) == 1


def test_a_model_that_draws_is_asked_often_and_the_majority_counts(data: Data) -> None:
    with seeded(0):
        once = numbers(Corrupted(looks=1)(Drawing(), data, THREAT))
    with seeded(0):
        often = numbers(Corrupted(looks=15)(Drawing(), data, THREAT))
    steady = numbers(Corrupted()(Pixels(), data, THREAT))["mean accuracy"]
    assert once["mean accuracy"] < 0.85 * steady
    assert often["mean accuracy"] > 0.9 * steady
    assert often["natural accuracy"] >= 0.85 > once["natural accuracy"]


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """A data set that says it is CIFAR-10, with files of ten images a severity beside it."""
    facts = replace(tiny.FACTS, shape=(3, 32, 32))
    small = tiny.data(test=10)
    larger = small.test.stored().repeat_interleave(4, 2).repeat_interleave(4, 3)
    test = replace(small.test, pixels=larger)
    folder = tmp_path / cifar10c.FOLDER
    folder.mkdir()
    np.save(folder / "labels.npy", test.y.repeat(5).numpy().astype(np.uint8))
    for kind in KINDS:
        every = torch.cat([corrupt(test.x(), kind, severity, 0) for severity in range(1, 6)])
        np.save(folder / f"{kind}.npy", every.permute(0, 2, 3, 1).numpy())
    monkeypatch.setattr(cifar10c.Published, "count", 10)
    monkeypatch.setattr(cifar10c.Published.__init__, "__defaults__", (10,))
    return replace(small, name="cifar10", facts=facts, test=test, root=tmp_path)


def test_published_files_are_read_as_what_was_made(cifar: Data) -> None:
    made = Corrupted()(Pixels(), cifar, THREAT)
    published = CorruptedFiles()(Pixels(), cifar, THREAT)
    assert repr(published.values) == repr(made.values)
    few = replace(cifar, test=cifar.test.first(4))
    found = CorruptedFiles()(Pixels(), few, THREAT)
    assert torch.equal(found.images["survived"], made.images["survived"][:4])


def test_published_files_that_are_not_there_are_named_in_a_line(cifar: Data) -> None:
    assert cifar.root is not None
    (cifar.root / cifar10c.FOLDER / "fog.npy").unlink()
    with pytest.raises(AttackError, match=r"^CIFAR-10-C: there is no file .*fog.npy; unpack") as e:
        CorruptedFiles()(Pixels(), cifar, THREAT)
    assert "\n" not in str(e.value)


def test_published_files_say_nothing_of_other_data_sets(data: Data) -> None:
    (value,) = CorruptedFiles()(Pixels(), data, THREAT).values
    assert value.name == "mean accuracy"
    assert np.isnan(value.value)
