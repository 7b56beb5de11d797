"""A crash, a hang or a kill costs one cell, which says why; the others have their numbers."""

import json

import pytest

from tests.executors.outside import QUICK, Outside

ENDS = {
    "segfault": "killed by SIGSEGV: a fault in native code",
    "abort": "killed by SIGABRT: native code gave up",
    "leave": "its process left in the midst of it",
    "leave-badly": "its process left with exit code 7",
    "kill": "killed by SIGKILL: somebody killed it, or the system ran out of memory",
    "hang": "took longer than --cell-timeout, 0.2 minutes",
    "raise": "RuntimeError: out of luck",
    "memory": "out of memory; a smaller recipe.batch_size",
    "interrupt": "KeyboardInterrupt",
}


@pytest.mark.slow
def test_every_end_costs_its_cell_alone_and_is_recorded(outside: Outside) -> None:
    grid = (
        "run", "-m", f"natural,fatal[end=well,{','.join(ENDS)}]", *QUICK, "--checkpoints", "best",
        "--set", "recipe.epochs=2", "--eps", "0", "--jobs", "2",
    )  # fmt: skip
    code, said = outside.here(*grid, "--cell-timeout", "0.2")
    assert code == 1, said
    rows = outside.table()
    ended = rows[rows["status"] == "failed"].set_index("settings")["reason"]
    assert set(ended.index) == {f"end={end}" for end in ENDS}
    for end, reason in ENDS.items():
        assert reason in ended[f"end={end}"], end
    fine = rows[(rows["status"] == "ok") & (rows["attack"] == "worst")]
    assert sorted(fine["settings"].fillna("")) == ["", ""]  # natural, and the method's default
    assert "Traceback" not in said
    for folder in outside.cells("fatal"):
        record = json.loads((folder / "cell.json").read_text())
        if record["status"] == "failed":
            assert record["saved"]["file"].startswith("cell.state-")  # of the first epoch
    # Now that the reason is gone, what failed goes on from its first epoch.
    (outside.folder / "well").touch()
    code, said = outside.here(*grid, "--rerun", "failed")
    assert code == 0, said
    assert "epoch 1/2" not in said
    assert said.count("epoch 2/2") == len(ENDS)
    whole = outside.table().query("attack == 'worst' and method == 'fatal'")
    assert len(whole) == 1 + len(ENDS)
    assert whole["n_stands"].nunique() == 1  # as if nothing had been


def test_the_tail_of_its_log_tells_what_a_cell_printed_last(outside: Outside) -> None:
    grid = ("run", "-m", "fatal[end=segfault]", *QUICK, "--set", "recipe.epochs=2")
    assert outside.here(*grid)[0] == 1
    (folder,) = outside.cells()
    record = json.loads((folder / "cell.json").read_text())
    assert "about to segfault" in record["traceback"]
    assert "Segmentation fault" in record["traceback"]
    assert "about to segfault" in (folder / "log.txt").read_text()
