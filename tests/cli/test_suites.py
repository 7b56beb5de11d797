"""Suites from the command line: what is carried, crafted, flagged and shown."""

from pathlib import Path

import pandas as pd
import pytest

from robench.adversary.suite import suite
from robench.evaluation.flags import FLAGS
from tests.cli.grids import QUICK, Robench, table


def test_the_default_suite_is_autoattacks_four(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBENCH_SUITE")
    assert "evaluations by standard" in robench("run", "-m", "natural", *QUICK, "--plan").out
    assert suite("standard").verdict == "full"


def test_every_number_of_a_suite_is_shown(robench: Robench) -> None:
    shown = " ".join(robench("show", "suite", "standard").out.split())
    for said in ("steps=100", "targets=9", "queries=5000", "overshoot 1.05", "22, 41, 57, 70, 80"):
        assert said in shown
    assert "500 of the images that stand" in " ".join(
        robench("show", "suite", "audited").out.split()
    )


def test_a_sweep_says_what_was_carried_and_what_was_flagged(robench: Robench) -> None:
    assert robench("run", "-m", "madry", *QUICK, "--eps", "0,1/16,3/16", "--seeds", "3").code == 0
    worst = table().query("attack == 'worst' and checkpoint == 'best'").set_index("eps")
    assert set(worst["sweep"]) == {"0 1/16 3/16"}
    carried, stand = worst["n_carried"].to_dict(), worst["n_stands"].to_dict()
    assert carried["0"] == 0
    assert stand["0"] == worst["n_right"].to_dict()["0"]
    assert carried["1/16"] >= stand["3/16"]
    assert worst["robust_accuracy"].is_monotonic_decreasing
    columns = [f"flag_{name.replace('-', '_')}" for name in FLAGS]
    assert worst[columns].isin(["ok", "up", "unknown"]).all(axis=None)
    evidence = pd.read_csv(Path("results/local/flags.csv"))
    assert set(evidence["flag"]) >= set(FLAGS)
    assert evidence.loc[evidence["flag"] == "random", "detail"].str.contains("8 looks").all()


def test_images_are_crafted_on_the_other_cells_of_the_grid(robench: Robench) -> None:
    grid = ("-m", "trades,natural,madry", *QUICK, "--suite", "transfer", "--checkpoints", "best")
    assert robench("run", *grid).code == 0
    rows = table()
    attacks = rows.groupby("method")["attack"].agg(list)
    kinds = ("", "mi-fgsm-", "vmi-fgsm-")
    both = [f"{kind}from-{name}" for kind in kinds for name in ("natural", "madry")]
    assert attacks["trades"] == [*both, "worst"]
    assert attacks["natural"] == [*both[1::2], "worst"]  # never on itself
    assert attacks["madry"] == [*both[::2], "worst"]
    assert set(rows["verdict"]) == {"upper-bound"}
    assert robench("report").code == 0


def test_a_suite_without_its_sources_is_refused_before_anything_runs(robench: Robench) -> None:
    refused = robench("run", "-m", "trades,natural", *QUICK, "--suite", "transfer")
    assert refused.code == 2
    assert "crafts images on cells of natural, madry: add madry to --methods" in refused.err
    assert not Path("results").exists()


def test_a_source_that_failed_is_the_reason_of_what_it_leaves_undone(robench: Robench) -> None:
    Path("methods").mkdir()
    Path("attacks").mkdir()
    Path("methods", "broken.py").write_text(
        '"""Broken: for a test (nobody, nowhere)."""\n\n'
        "from robench.training.method import Method\n\n\n"
        "class Broken(Method):\n"
        '    """Fails."""\n\n'
        "    def loss(self, model, batch, x_adv, run):\n"
        '        raise RuntimeError("no loss today")\n\n\n'
        'presets = {"*": Broken()}\n'
    )
    Path("attacks", "crafted.py").write_text(
        '"""Crafted: for a test (nobody, nowhere)."""\n\n'
        "from robench.adversary.suite import Suite\n"
        "from robench.adversary.transfer import Transfer\n\n"
        'suite = Suite({"from-broken": Transfer(source="broken")})\n'
    )
    run = robench("run", "-m", "natural,broken", *QUICK, "--suite", "crafted")
    assert run.code == 1
    failed = table().query("method == 'natural'")
    assert set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains("broken, whose cell images are crafted on, failed").all()


def test_a_stochastic_method_is_judged_by_the_stand_in(robench: Robench) -> None:
    Path("methods").mkdir()
    Path("attacks").mkdir()
    Path("methods", "drawing.py").write_text(
        '"""Drawing: for a test (nobody, nowhere)."""\n\n'
        "import torch\n"
        "import torch.nn.functional as F\n"
        "from torch import nn\n\n"
        "from robench.training.method import Method\n\n\n"
        "class Noisy(nn.Module):\n"
        "    def __init__(self, model):\n"
        "        super().__init__()\n"
        "        self.model = model\n\n"
        "    def forward(self, x):\n"
        "        return self.model(x + 0.1 * torch.randn_like(x))\n\n\n"
        "class Drawing(Method):\n"
        '    """Noise on the images."""\n\n'
        "    def loss(self, model, batch, x_adv, run):\n"
        "        return F.cross_entropy(model(batch.x), batch.y)\n\n"
        "    def deploy(self, model, run):\n"
        "        return Noisy(model)\n\n\n"
        'presets = {"*": Drawing()}\n'
    )
    for name, rest in (("usual", ', when_random="looking"'), ("looking", ", looks=3")):
        Path("attacks", f"{name}.py").write_text(
            f'"""{name.title()}: for a test (nobody, nowhere)."""\n\n'
            "from robench.adversary.pgd import PGD, PGDAttack\n"
            "from robench.adversary.suite import Suite\n\n"
            f'suite = Suite({{"{name}-pgd": PGDAttack(pgd=PGD(steps=2))}}{rest})\n'
        )
    grid = ("-m", "natural,drawing", *QUICK, "--suite", "usual", "--checkpoints", "best")
    assert robench("run", *grid).code == 0
    attacks = table().groupby("method")["attack"].agg(list)
    assert attacks["natural"] == ["usual-pgd", "worst"]
    assert attacks["drawing"] == ["looking-pgd", "worst"]
    assert "random" in table().query("method == 'drawing'")["flags"].iloc[0]
    assert robench("report").code == 0
