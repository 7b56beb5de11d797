"""What all that is left of a grid will cost, on a clock on which an image takes a second."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch

from robench.cli import run_command
from robench.errors import StoreError
from robench.forecast import grid, training
from robench.forecast.attacking import Asked, Bill
from robench.forecast.grid import Cost, costs
from robench.forecast.training import effort
from robench.plan import Plan, plan
from robench.training.method import Method
from tests.cli.grids import QUICK, Robench

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def a_second_an_image() -> Iterator[None]:
    """Steps and passes are made once, on few images, and are not timed."""

    def an_image(work: object, device: torch.device, first: int, most: int) -> float:
        assert callable(work)
        work(min(first, most))
        return 1.0

    def bill(*_: object) -> Bill:
        return Bill(
            {"one": Asked(seconds=1), "two": Asked(seconds=2)}, Asked(), Asked(seconds=1), Asked()
        )

    with (
        mock.patch.object(training, "an_image", an_image),
        mock.patch.object(grid, "bill", bill),
    ):
        yield


def planned(*arguments: str) -> Plan:
    context = run_command.command.make_context("run", [*arguments])
    return plan(run_command._request(context.params), CPU)


def priced(*arguments: str, rerun: str = "missing") -> list[Cost]:
    return list(costs(planned(*arguments), Path("results/local"), rerun))  # type: ignore[arg-type]


def test_a_training_takes_its_epochs_and_looks(robench: Robench) -> None:
    (cost,) = priced(
        "-m", "natural", "--suite", "quick", "--train-limit", "100", "--set", "recipe.epochs=7",
        "--set", "recipe.validate_every=3", "--set", "recipe.validation_images=10",
        "--set", "recipe.validation_steps=4",
    )  # fmt: skip
    looks = 3  # after epochs 3, 6 and 7
    assert cost.training == 7 * 100 + looks * 10 * (4 + 1 + 2)


def test_stages_have_epochs_of_their_own(robench: Robench) -> None:
    (cost, start) = sorted(
        priced("-m", "atop", *QUICK, "--suite", "quick"), key=lambda cost: -cost.training
    )
    assert "natural" in start.label
    job = next(j for j in planned("-m", "atop", *QUICK, "--suite", "quick").jobs if j.evaluations)
    assert cost.training >= 96 * len(job.method.stages())


def test_what_ends_early_is_scaled_to_what_is_declared(robench: Robench) -> None:
    """An untrained network gets most images wrong, and sensible leaves those as they are."""
    grid = (*QUICK, "--suite", "quick", "--set", "recipe.validation_images=1")
    sensible, madry = priced("-m", "sensible[cut=0.999],madry", *grid)
    assert madry.training == 96 + 1 * 4
    assert sensible.training > 2 * madry.training


def test_seeds_radii_and_weights_of_losses_cost_the_same(robench: Robench) -> None:
    seen = mock.Mock(side_effect=effort)
    with mock.patch.object(grid, "effort", seen):
        found = priced(
            "-m", "trades[beta=1,6],trades[attack.steps=3]", "--seeds", "0-1", *QUICK,
            "--train-eps", "1/16,1/8", "--suite", "quick",
        )  # fmt: skip
    assert len(found) == 12
    assert seen.call_count == 2  # steps are what differs
    assert len({cost.training for cost in found}) == 1  # on this clock


def test_images_that_stand_are_half_or_none(robench: Robench) -> None:
    natural, madry = priced("-m", "natural,madry", *QUICK, "--checkpoints", "best")
    images = 40  # and a second for a look at each
    for cost in (natural, madry):
        assert (cost.least, cost.most) == (images + images * 1, images + images * 3)
    assert natural.attacks == natural.least
    assert madry.attacks == (madry.least + madry.most) / 2


def test_validation_says_how_many_stand_once_there_was_one(robench: Robench) -> None:
    robench("run", "-m", "madry", *QUICK, "--checkpoints", "best")
    (cost,) = priced("-m", "madry", *QUICK, "--suite", "sanity", "--checkpoints", "best")
    assert cost.training == 0
    record = next(Path("results/local/cells").glob("madry-*/cell.json")).read_text()
    robust = json.loads(record)["checkpoints"]["best"]["validation"]["robust"]
    assert cost.attacks == pytest.approx(cost.least + robust * (cost.most - cost.least))


def test_radii_share_what_they_can(robench: Robench) -> None:
    (one,) = priced("-m", "madry", *QUICK, "--checkpoints", "best")
    (five,) = priced(
        "-m", "madry", *QUICK, "--checkpoints", "best", "--eps", "0,1/16,1/8,3/16,1/4,5/16"
    )
    assert five.most == pytest.approx(1.8 * one.most)


def test_what_is_done_costs_nothing(robench: Robench) -> None:
    robench("run", "-m", "madry", *QUICK)
    assert priced("-m", "madry", *QUICK, "--suite", "quick") == []
    (again,) = priced("-m", "madry", *QUICK, "--suite", "quick", rerun="always")
    assert again.training > 0


def test_what_measures_is_not_estimated(robench: Robench) -> None:
    (cost,) = priced("-m", "madry", *QUICK, "--suite", "minnorm", "--norm", "L2")
    assert set(cost.unknown) == {"what minnorm measures"}
    assert cost.training > 0


def test_a_method_that_fails_is_not_estimated(robench: Robench) -> None:
    with mock.patch.object(Method, "step", side_effect=StoreError("as it happens")):
        natural, madry = priced("-m", "natural,madry", *QUICK, "--suite", "quick")
    assert natural.unknown == ("natural seed 0: StoreError: as it happens",)
    assert madry.seconds == 0


def test_a_probe_is_short(robench: Robench) -> None:
    with mock.patch.object(grid, "LONGEST", -1.0):
        found = priced("-m", "natural,madry", *QUICK, "--suite", "quick")
    assert [cost.unknown for cost in found] == [("cells that a short probe had no time for",)] * 2


def test_checkpoints_and_states_are_as_large_as_they_become(robench: Robench) -> None:
    (cost,) = priced("-m", "madry", *QUICK, "--suite", "quick")
    robench("run", "-m", "madry", *QUICK)
    (folder,) = Path("results/local/cells").glob("madry-*")
    written = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert cost.weights == pytest.approx(written, rel=0.05)
    # Weights, two moments of Adam, and both checkpoints so far.
    assert cost.state == pytest.approx(5 * cost.weights / 2, rel=0.05)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_plan_says_it_in_words(
    robench: Robench, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    with mock.patch("tests.conftest.unpriced", mock.MagicMock()):
        said = robench(
            "run", "-m", "natural,madry", *QUICK, "--suite", "quick,minnorm_l2", "--norm", "L2",
            "--plan", "--jobs", str(jobs), "--checkpoints", "best",
        ).out.splitlines()  # fmt: skip
    whole = {1: "about 12 min", 4: "about 6 min with 4 jobs"}[jobs]
    text = "\n".join(said)
    assert next(line for line in said if line.startswith("time")) == f"time      {whole}"
    for part in ("training ", "attacks ", "longest   madry seed 0", "memory    about ", "disk "):
        assert part in text
    assert "without   what minnorm_l2 measures" in text
    assert said[-1] == "results/local"
    assert not Path("results").exists()
