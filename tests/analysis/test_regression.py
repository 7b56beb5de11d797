"""Past results as regression tests: what has moved, what is missing, what cannot be compared."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from robench.analysis.regression import Comparison, compare
from robench.analysis.table import write_tables
from robench.errors import ConfigError
from robench.store.records import read_record, write_record
from tests.committed import cell, evaluation, failed, taken

MADRY, NATURAL = "madry-digits-digitscnn-s0", "natural-digits-digitscnn-s0"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two cells with their tables."""
    folder = taken(tmp_path / "now", MADRY, NATURAL)
    write_tables(folder)
    return folder


@pytest.fixture
def baseline(results: Path, tmp_path: Path) -> Callable[..., Path]:
    """A baseline as it is now, but for some columns of one row."""

    def write(**changes: object) -> Path:
        rows = pd.read_csv(results / "results.csv", dtype=str, keep_default_na=False)
        one = rows["method"].eq("madry") & rows["suite"].eq("standard") & rows["eps"].eq("3/16")
        for name, value in changes.items():
            rows.loc[one & rows["attack"].eq("worst"), name] = str(value)
        rows.to_csv(tmp_path / "before.csv", index=False)
        return tmp_path / "before.csv"

    return write


def changes(found: Comparison) -> list[str]:
    return [row.change for row in found.rows if row.change != "same"]


def test_nothing_has_moved_since_now(results: Path, baseline: Callable[..., Path]) -> None:
    found = compare(results, baseline())
    assert len(found.rows) == 24
    assert (changes(found), found.new, found.failed_before, found.problems) == ([], 0, 0, ())


@pytest.mark.parametrize("column", ["n_stands", "n_right"])
def test_it_moves_where_wilsons_interval_of_the_past_ends(
    column: str, results: Path, baseline: Callable[..., Path]
) -> None:
    """A share is outside where (p - p0)^2 > z^2 p (1 - p) / n: Wilson's is the score test's."""
    only = evaluation(cell(results, MADRY))
    for path in results.glob("cells/*/eval/*.json"):
        if path != only:  # 80 looks at one evaluation are enough
            path.unlink()
    record = read_record(only)
    n, right = record["n"], record["stands"]["natural"]
    now = right if column == "n_right" else min(record["stands"].values())
    moved = {True: 0, False: 0}
    for before in range(now - 25, min(now + 26, n if column == "n_right" else right)):
        other = {"n_stands": 0} if column == "n_right" else {}
        share, past = now / n, before / n
        outside = (past - share) ** 2 > 1.959964**2 * share * (1 - share) / n
        (row,) = (r for r in compare(results, baseline(**{column: before}, **other)).rows
                  if "madry" in r.label and "standard Linf 3/16" in r.label)  # fmt: skip
        name = "natural" if column == "n_right" else "robust"
        assert (f"{name} {past:.1%} -> {share:.1%}" in row.said) == outside
        moved[outside] += 1
    assert min(moved.values()) > 5


def test_other_versions_are_no_other_rows_but_are_named(
    results: Path, baseline: Callable[..., Path]
) -> None:
    other = {"plugin": "0", "torch": "1.0", "device": "cuda", "settings_key": "0", "suite_key": "0"}
    assert changes(compare(results, baseline(**other))) == []
    (row,) = compare(results, baseline(**other, n_stands=1)).bad
    assert row.change == "moved"
    assert row.said.endswith("with another settings_key, suite_key, plugin, torch, device")


@pytest.mark.parametrize(
    "column", ["seed", "recipe_key", "train_eps", "suite", "eps", "checkpoint", "model", "sweep"]
)
def test_what_identifies_a_row(column: str, results: Path, baseline: Callable[..., Path]) -> None:
    found = compare(results, baseline(**{column: "99"}))
    assert (changes(found), found.new) == (["missing"], 1)


@pytest.mark.parametrize("column", ["n", "test_limit"])
def test_other_images_are_not_compared(
    column: str, results: Path, baseline: Callable[..., Path]
) -> None:
    found = compare(results, baseline(**{column: 355}))
    assert changes(found) == ["not comparable"]
    assert found.bad[0].said.endswith(" test images -> 360")


def test_new_cells_are_counted_and_missing_ones_named(
    results: Path, baseline: Callable[..., Path], tmp_path: Path
) -> None:
    past = baseline()
    more = taken(tmp_path / "more", MADRY, NATURAL, "trades-digits-digitscnn-s0")
    assert (changes(compare(more, past)), compare(more, past).new) == ([], 12)
    less = taken(tmp_path / "less", NATURAL)
    assert changes(compare(less, past)) == ["missing"] * 12


def test_failures_of_now_are_bad_and_those_of_before_say_nothing(
    results: Path, baseline: Callable[..., Path]
) -> None:
    past = baseline(status="failed")
    assert compare(results, past).failed_before == 1
    assert changes(compare(results, past)) == []
    past = baseline()
    failed(evaluation(cell(results, MADRY)))
    (row,) = compare(results, past).bad
    assert (row.change, row.said) == ("failed", "out of luck")
    failed(cell(results, NATURAL) / "cell.json", "diverged")
    gone = [row for row in compare(results, past).bad if "natural" in row.label]
    assert {row.said for row in gone} == {"its training: out of luck"}
    assert len(gone) == 12


def test_of_two_versions_the_nearer_one_counts(
    results: Path, baseline: Callable[..., Path]
) -> None:
    """A cell of an edited plugin beside the old one: both have the same name in a table."""
    from robench.store.cell import cell_name, evaluation_name
    from robench.store.files import digest

    old = cell(results, MADRY)
    record = read_record(old / "cell.json")
    record["identity"]["plugin"] = "0" * 64
    record["key"] = digest(record["identity"])
    new = old.with_name(cell_name(record["identity"], record["key"]))
    new.mkdir()
    write_record(new / "cell.json", record)
    attacked = read_record(evaluation(old))
    attacked["identity"]["cell"] = record["key"]
    attacked["key"] = digest(attacked["identity"])
    target = new / "eval" / f"{evaluation_name(attacked['identity'], attacked['key'])}.json"
    write_record(target, attacked | {"cell": new.name})
    target.with_suffix(".npz").write_bytes(evaluation(old).with_suffix(".npz").read_bytes())
    found = compare(results, baseline())
    assert (changes(found), found.new) == ([], 1)
    assert changes(compare(results, baseline(plugin="another"))) == ["not comparable"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "is no results.csv: no column 'method'"),
        ("", "is no results.csv: No columns"),
        ("a\n1,2\n1,2,3\n", "is no results.csv"),
        ("\0\xff", "is no results.csv"),
    ],
)
def test_what_is_no_baseline(text: str, message: str, results: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=message):
        compare(results, path)


@pytest.mark.parametrize("counts", [{"n": 0}, {"n_right": 361}, {"n_stands": "x"}, {"n": ""}])
def test_counts_that_cannot_be(
    counts: dict[str, object], results: Path, baseline: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match=r"before\.csv is no results\.csv"):
        compare(results, baseline(**counts))


def test_a_table_without_worst_cases(results: Path, baseline: Callable[..., Path]) -> None:
    header = baseline().read_text(encoding="utf-8").splitlines()[0]
    baseline().write_text(f"{header}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no worst-case accuracy"):
        compare(results, results.parent / "before.csv")
    with pytest.raises(ConfigError, match="holds no cells"):
        compare(results / "nowhere", results / "results.csv")
