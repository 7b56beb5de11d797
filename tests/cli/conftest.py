"""A method that does what it is told."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def all_soon_over(soon_over: None) -> None:
    """Nearly every test here trains, attacks and reports."""


CRASHING = '''"""Crashing: raises while it trains (nobody, nowhere)."""

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Crashing(Method):
    """What happens is read from a file, so that the plugin's digest stays the same."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        mood = Path("mood").read_text()
        if mood == "crash":
            raise RuntimeError("out of luck")
        if mood == "interrupt":
            raise KeyboardInterrupt
        if mood == "leave":
            raise SystemExit(0)
        if mood == "log":
            run.log["margin"] = float("nan")
        loss = F.cross_entropy(model(batch.x), batch.y)
        return loss * float("nan") if mood == "diverge" else loss


presets = {"*": Crashing()}
'''


@pytest.fixture
def mood(tmp_path: Path) -> Callable[[str], None]:
    """The plugin above as ``crashing``, and how to change what it does."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "crashing.py").write_text(CRASHING, encoding="utf-8")

    def change(text: str) -> None:
        (tmp_path / "mood").write_text(text, encoding="utf-8")

    return change
