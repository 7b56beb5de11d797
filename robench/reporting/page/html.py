"""The report as one file for a browser: no network, no scripts but its own, readable without."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import pandas as pd
from markupsafe import Markup

from robench import __version__
from robench.analysis.images import records
from robench.analysis.summary import labelled
from robench.evaluation.flags import FLAGS
from robench.names import WORST
from robench.reporting.charts import screen
from robench.reporting.charts.chart import Figure
from robench.reporting.found import Report
from robench.reporting.page.apart import apart
from robench.reporting.page.cells import cell_pages
from robench.reporting.words import percent

_HERE = Path(__file__).parent


def page(found: Report) -> str:
    """The whole report; every text in it is escaped, none is taken for HTML."""
    look = found.look
    frames = found.gathered.frames

    cells = cell_pages(found.gathered.cells, frames["results"], frames["epochs"])

    def drawn(figure: Figure) -> Markup:
        return Markup(screen.drawn(figure, look))

    return _template().render(
        name=found.results.resolve().name,
        version=__version__,
        found=found,
        apart=apart(found),
        flags=FLAGS,
        rows=[*_rows(frames["results"])],
        cells=cells.pages,
        recipes=cells.recipes,
        environments=cells.environments,
        drawn=drawn,
        shapes=Markup(screen.SHAPES),
        css=Markup(_file("page.css") + _shades()),
        js=Markup(_file("page.js")),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("page.html")


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _shades() -> str:
    """Grounds of a matrix's numbers, each with the letters that are read best on it."""
    rules = []
    for value in range(101):
        red, green, blue = _viridis(value)
        light = 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)
        letters = "#000" if light > 0.179 else "#fff"
        rules.append(f".h{value}{{background:#{red:02x}{green:02x}{blue:02x};color:{letters}}}")
    return "".join(rules)


def _viridis(value: int) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in matplotlib.colormaps["viridis"](value / 100)[:3])


def _linear(part: int) -> float:
    """Of one colour, the light that a screen gives (WCAG 2.2, relative luminance)."""
    share = part / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _rows(results: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    """Every evaluation of every seed: nothing is averaged here."""
    if results.empty:
        return
    rows = labelled(results)
    worst = rows[(rows["attack"] == WORST) & (rows["status"] == "ok")]
    for row in records(worst):
        n = int(row["n"])
        yield row | {
            "flags": [flag for flag in str(row["flags"] or "").split() if flag in FLAGS],
            "natural": percent(row["natural_accuracy"], n),
            "robust": percent(row["robust_accuracy"], n),
            "low": percent(row["ci_low"], n),
            "high": percent(row["ci_high"], n),
        }
