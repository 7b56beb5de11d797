"""The README does what it says: its commands run, its plugin works, its tables are the results'.

``python -m tests.test_readme`` (``make readme``) puts the tables of results/ between its markers.
"""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import DATA_ROOT, Outcome

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- table (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
CLAIMS = re.compile(r"(<!-- claims -->\n).*?(<!-- end -->)", re.DOTALL)

UNSEEN = re.compile(r"(<!-- unseen (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
CONTROLS = re.compile(r"(<!-- controls -->\n).*?(<!-- end -->)", re.DOTALL)

OTHERS = {
    "stands at eps": "the same ball, by distance",
    "worst of all": "the same ball, without gradients",
    "mean accuracy": "common corruptions, mean",
}
"""Numbers of the table of unseen threats that minnorm_linf, blackbox and corruptions give."""


def refreshed(text: str) -> str:
    """The README with the tables that its markers name."""

    def table(match: re.Match[str]) -> str:
        folder, suite = ROOT / match[2] / "report" / "tables", match[3]
        found = [*folder.glob(f"*-{suite}-*.md")]
        ends = {f"-{path.stem}" for path in found}  # others of a table begin with what they are
        (path,) = (p for p in found if not any(f"-{p.stem}".endswith(e, 1) for e in ends))
        return match[1] + path.read_text(encoding="utf-8").partition("\n\n")[2] + match[4]

    text = CLAIMS.sub(lambda match: match[1] + claims() + match[2], MARKED.sub(table, text))
    text = UNSEEN.sub(lambda match: match[1] + unseen(match[2]) + match[3], text)
    return CONTROLS.sub(lambda match: match[1] + controls() + match[2], text)


def claims() -> str:
    """One table of the claims of every results folder."""
    found = [
        path.read_text("utf-8") for path in sorted(ROOT.glob("results/*/report/tables/claims.md"))
    ]
    head = found[0].splitlines(keepends=True)[:2]
    return "".join(head + [line for text in found for line in text.splitlines(keepends=True)[2:]])


def controls() -> str:
    """What a single white-box attack says of the negative controls, and what stands in the end."""
    rows = pd.read_csv(ROOT / "results" / "field" / "results.csv")
    rows = rows[rows["control"].notna() | (rows["method"] == "madry")].fillna({"control": "-"})
    found = rows.pivot_table(
        values="robust_accuracy", index=["method", "control"], columns="attack"
    )
    found["natural"] = rows.groupby(["method", "control"])["natural_accuracy"].mean()
    lines = [
        "| method | natural | APGD-CE | worst | broken by |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    found = found.sort_values("worst", ascending=False).reset_index()
    for row in found.to_dict("records"):
        shares = " | ".join(
            f"{100 * row[column]:.1f}" for column in ("natural", "apgd-ce", "worst")
        )
        lines.append(f"| `{row['method']}` | {shares} | {row['control']} |")
    return "\n".join(lines) + "\n"


def unseen(dataset: str) -> str:
    """What stands of each method in the threat model trained for, and in all the others."""
    folder = ROOT / "results" / "unseen"
    trained, found = (pd.read_csv(folder / f"{name}.csv") for name in ("results", "measures"))
    trained = trained[(trained["dataset"] == dataset) & (trained["attack"] == "worst")]
    found = found[(found["dataset"] == dataset) & (found["measure"] != "ball-linf")]
    other = found["name"].isin(OTHERS) & found["measure"].isin(["together", "made"])
    found = found[other | (found["suite"] == "unseen")]
    rows = found["name"].fillna(found["measure"]).replace(OTHERS)
    numbers = found.assign(row=rows).pivot_table(
        values="value", index="row", columns="method", sort=False
    )
    means = trained.groupby("method")
    numbers.loc["unperturbed"] = means["natural_accuracy"].mean()
    numbers.loc["the ball trained for"] = means["robust_accuracy"].mean()
    first = ["unperturbed", "the ball trained for", *OTHERS.values()]
    numbers = numbers.reindex([*first, *(row for row in numbers.index if row not in first)])
    return written(numbers.sort_values("the ball trained for", axis=1, ascending=False))


def written(numbers: pd.DataFrame) -> str:
    """Per cent; a dash where there is no number."""
    lines = [["", *(f"`{name}`" for name in numbers)], ["---", *["---:"] * len(numbers.columns)]]
    for row, values in numbers.iterrows():
        lines.append([str(row), *("-" if pd.isna(v) else f"{100 * v:.1f}" for v in values)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fences(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found


def commands() -> list[str]:
    """Every robench command of the README, in order."""
    lines = "".join(fences("sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("robench ")]


def test_tables_are_the_committed_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(MARKED.findall(text)) == 6
    assert len(CLAIMS.findall(text)) == len(CONTROLS.findall(text)) == 1
    assert refreshed(text) == text, "run make readme"


@pytest.mark.parametrize(
    "name", sorted({path.parent.name for path in ROOT.glob("results/*/results.csv")} - {"local"})
)
def test_committed_tables_come_from_committed_cells(
    name: str, robench: Callable[..., Outcome], tmp_path: Path
) -> None:
    committed = ROOT / "results" / name
    shutil.copytree(committed / "cells", tmp_path / name / "cells")
    if (committed / "grid.toml").exists():  # it holds the claims
        shutil.copy(committed / "grid.toml", tmp_path / name)
    done = robench("report", name, "--no-figures")
    assert done.code == 0
    assert "warning" not in done.err
    made = sorted((tmp_path / name / "report" / "tables").glob("*.md"))
    assert made
    for path in made:
        text = (committed / "report" / "tables" / path.name).read_text(encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link


def test_make_run_is_the_readmes_first_commands() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nrun:")[2]
    made = [
        line.strip().replace("$(BIN)/", "")
        for line in recipe.partition("\n\n")[0].splitlines()
        if "robench" in line
    ]
    assert made == commands()[: len(made)]
    assert len(made) == 2
    assert "make run\nmake test\n" in fences("sh")


@pytest.mark.slow
@pytest.mark.usefixtures("soon_over")
def test_every_command_runs(
    robench: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plugin, name in zip(fences("python"), ("methods/half", "attacks/runnerup"), strict=True):
        assert len(plugin.splitlines()) < 45
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.py").write_text(plugin, encoding="utf-8")
    for grid in ROOT.glob("results/*/grid.toml"):
        place = tmp_path / grid.relative_to(ROOT)
        place.parent.mkdir(parents=True)
        shutil.copy(grid, place)
    # The default grid, at a size for tests: `make run` runs it whole.
    monkeypatch.setenv("ROBENCH_TRAIN_LIMIT", "64")
    monkeypatch.setenv("ROBENCH_TEST_LIMIT", "16")
    monkeypatch.setenv(
        "ROBENCH_SET", "recipe.epochs=2 recipe.validation_images=40 recipe.validation_steps=1"
    )
    ran = []
    for command in commands():
        arguments = shlex.split(command)[1:]
        if "--download" in arguments:  # real data: planned where they are, never fetched
            if DATA_ROOT is None:
                continue
            arguments.remove("--download")
            arguments[arguments.index("--data-root") + 1] = str(DATA_ROOT)
            arguments.append("--plan")
        done = robench(*arguments)
        assert done.code == 0, f"{command}\n{done.out}{done.err}"
        ran.append(arguments[0])
    assert {"run", "report", "list", "show", "status", "doctor", "check"} <= set(ran)
    report = robench("report").out
    assert "half" in report


if __name__ == "__main__":
    README.write_text(refreshed(README.read_text(encoding="utf-8")), encoding="utf-8")
