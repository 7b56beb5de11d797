"""A results folder in which everything that can happen to a report has happened."""

import shutil
from pathlib import Path

import pytest

from robench.reporting.report import report
from robench.store.records import read_record, write_record

DIGITS = Path(__file__).parents[2] / "results" / "digits" / "cells"

EVIL = '<script>document.title = "evil"</script> & "quoted" \\ 100 % $x_1$ # {}'


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of some cells: two methods and three seeds, one of which failed with evil words.

    No figures for papers: the page has its own.
    """
    results = tmp_path_factory.mktemp("reported") / "results"
    for method in ("madry", "trades", "natural"):
        for cell in sorted(DIGITS.glob(f"{method}-*")):
            shutil.copytree(cell, results / "cells" / cell.name)
    last = sorted((results / "cells").glob("trades-*"))[-1]
    record = read_record(last / "cell.json")
    record |= {"status": "failed", "reason": EVIL, "label": f"trades[{EVIL}]"}
    record.pop("checkpoints")
    write_record(last / "cell.json", record)
    shutil.rmtree(last / "eval")
    _, page = report(results, figures=False)
    assert isinstance(page, Path)
    return page.parent
