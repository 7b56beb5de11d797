"""docs/methods.md says of every method what its file and the committed results say.

``python -m tests.test_docs`` (``make readme``) writes it.
"""

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from robench import plugins
from robench.analysis.references import Published, read_published
from robench.reporting.words import escaped
from robench.training.method import Method, method

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods.md"
FIELD = ROOT / "results" / "field" / "report" / "tables" / "tables.csv"

HEAD = """# Methods

Written by `make readme` from the method files, `results/field` and published figures: those that
reports show as well (`robench/analysis/references.toml`, the first of each method), and those of
networks that robench does not have (`docs/references.toml`).

- **Cost**: passes of an image in a step, forward and backward, with the preset for all data sets.
- **Published**: natural / robust accuracy in per cent as the source prints it: CIFAR-10 in Linf at
  8/255 unless said. Where a stronger attack has corrected it, its authors' claim stands behind.
- **Measured**: natural / worst case in per cent on digits (8x8) in Linf at 3/16, mean of three
  seeds, by suite `standard`, or `rand` (¹) where the model draws
  ([report](../results/field/report/report.md)). Published and measured figures are of different
  data and networks; nothing can be read across.
- ‡ is a negative control: known to be weak, and here to be seen to fall.
"""

OWN = "its authors' own attacks"
"""As references.toml names them."""

COLUMNS = ("method", "source", "reduces to", "cost", "published", "measured")


def page() -> str:
    """The whole page."""
    elsewhere, published, measured = _elsewhere(), read_published(), _measured()
    rows = [COLUMNS, ("---", "---", "---", "---:", "---", "---:")]
    for name, source in plugins.find("methods").items():
        chosen = method(name)
        own = f"`{name}`" + " ‡" * bool(chosen.control)
        of_ours = [one for one in published if one.method == name]
        figures = [*_published(of_ours), *map(_elsewhere_published, elsewhere.get(name, []))]
        about = source.summary() + f" Broken by {chosen.control}." * bool(chosen.control)
        rows.append(
            (
                own,
                about,
                _reduces_to(chosen),
                _cost(chosen),
                "; ".join(figures),
                measured.get(name, ""),
            )
        )
    table = "\n".join(f"| {' | '.join(map(escaped, row))} |" for row in rows)
    return f"{HEAD}\n{table}\n"


def _reduces_to(chosen: Method) -> str:
    found = re.search(
        r"^Reduces to:(.*?)(?:\n\n|\Z)", inspect.getdoc(type(chosen)) or "", re.M | re.S
    )
    assert found
    return " ".join(found[1].split())


def _cost(chosen: Method) -> str:
    stages = chosen.stages()
    costs = [chosen.passes(stage.name) for stage in stages]
    said = [f"{cost.forwards} + {cost.backwards}" for cost in costs]
    named = [f"{stage.name} {text}" for stage, text in zip(stages, said, strict=True)]
    return ", ".join(named if len(stages) > 1 else said)


def _published(found: Sequence[Published]) -> Iterator[str]:
    """The first figure, and what its authors claimed of the same network."""
    for one in found[:1]:
        same = [o for o in found if (o.model, o.natural, o.attack) == (one.model, one.natural, OWN)]
        at = "" if (one.norm, one.eps) == ("Linf", "8/255") else f", {one.norm} {one.eps}"
        about = [f"{one.model}{at}, {one.attack}", one.source]
        about += [f"claimed {other.robust:g}" for other in same]
        about += [one.conditions] if one.conditions else []
        natural = "?" if one.natural is None else f"{one.natural:g}"
        yield f"{natural} / {one.robust:g} ({'; '.join(about)})"


def _elsewhere() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads((ROOT / "docs" / "references.toml").read_text(encoding="utf-8"))


def _elsewhere_published(figure: Mapping[str, Any]) -> str:
    natural = f"{figure['natural']:g}" if "natural" in figure else "?"
    where = [figure["network"]]
    if {"dataset", "norm", "eps"} & figure.keys():
        dataset = [figure["dataset"]] if "dataset" in figure else []
        where.append(" ".join([*dataset, figure.get("norm", "Linf"), figure["eps"]]).strip())
    claimed = f"; claimed {figure['claimed']:g}" if "claimed" in figure else ""
    about = f"{', '.join(where)}, {figure['by']}; {figure['source']}{claimed}"
    return f"{natural} / {figure['robust']:g} ({about})"


def _measured() -> dict[str, str]:
    """By method, where the committed results have it."""
    if not FIELD.exists():
        return {}
    rows = pd.read_csv(FIELD, dtype={"eps": str})
    rows = rows[(rows["model"] == "digitscnn") & (rows["norm"] == "Linf") & (rows["eps"] == "3/16")]
    rows = rows[rows["seeds"] == 3]  # the page says so
    return {
        row["method"]: f"{100 * row['natural']:.1f} / {100 * row['worst']:.1f}"
        + " ¹" * (row["verdict"] == "stochastic")
        for row in rows.to_dict("records")
    }


def test_the_page_is_what_files_and_results_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make readme"


def test_references_name_methods_and_where_they_come_from() -> None:
    references = _elsewhere()
    assert references.keys() <= plugins.find("methods").keys()
    for figure in (figure for figures in references.values() for figure in figures):
        assert {"network", "robust", "by", "source"} <= figure.keys()
        assert 0 <= figure["robust"] <= figure.get("natural", 100)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
