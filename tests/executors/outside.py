"""robench in a folder with plugins, as a process of its own where it is to be disturbed."""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from robench.cli.main import main
from tests.cli import grids

MAIN = "from robench.cli.main import main; main()"
QUICK = (*grids.QUICK, "--suite", "quick")
"""Two batches an epoch."""


@dataclass
class Outside:
    """Commands of a test that run in a folder, all of them ended when it is over."""

    folder: Path
    begun: list["subprocess.Popen[str]"] = field(default_factory=list)

    def begin(self, *arguments: str, program: str = MAIN) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ,
        )  # fmt: skip
        self.begun.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and standard error with its lines unwrapped."""
        process = self.begin(*arguments)
        _, said = process.communicate(timeout=300)
        return process.returncode, said

    def here(self, *arguments: str) -> tuple[int, str]:
        """The same by this process, which has imported torch, for what nothing disturbs."""
        said = io.StringIO()
        quiet = redirect_stdout(io.StringIO()), redirect_stderr(said)
        with chdir(self.folder), quiet[0], quiet[1], pytest.raises(SystemExit) as end:
            main(arguments)
        return int(end.value.code or 0), said.getvalue()

    def end(self) -> None:
        for process in self.begun:
            process.kill()
            process.communicate()  # closes its pipes

    def table(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "results" / "local" / "results.csv")

    def cells(self, start: str = "") -> list[Path]:
        return sorted((self.folder / "results" / "local" / "cells").glob(f"{start}*"))
