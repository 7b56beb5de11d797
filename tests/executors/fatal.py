"""A method that ends its process in every way there is, as the text of a plugin file."""

FATAL = '''"""Fatal: ends as it is told (nobody, nowhere)."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.data.batches import Batch
from robench.training.method import Method, Run


@dataclass(frozen=True, kw_only=True)
class Fatal(Method):
    """In the second epoch, unless a file says that all is well now."""

    end: Literal[
        "well", "segfault", "abort", "leave", "leave-badly", "kill", "hang", "raise", "memory",
        "eat", "interrupt",
    ] = "well"

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        if run.progress >= 0.5 and not Path("well").exists():
            print(f"about to {self.end}", flush=True)
            self._end()
        return F.cross_entropy(model(batch.x), batch.y)

    def _end(self) -> None:
        if self.end == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.end == "abort":
            os.abort()
        if self.end == "leave":
            os._exit(0)
        if self.end == "leave-badly":
            os._exit(7)
        if self.end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.end == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(3600)
        if self.end == "raise":
            raise RuntimeError("out of luck")
        if self.end == "memory":
            torch.empty(2**44)
        if self.end == "interrupt":
            raise KeyboardInterrupt
        held = []
        while self.end == "eat":
            held.append(torch.ones(2**24))


presets = {"*": Fatal()}
'''
