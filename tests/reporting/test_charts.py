"""A figure is described once and drawn twice: on paper and on the page, with the same numbers."""

import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pypdfium2 import PdfDocument

from robench.reporting.charts import paper, screen
from robench.reporting.charts.chart import Axis, Chart, Heat, Panels, Pictures, Rule, Series
from robench.reporting.charts.look import looks

LOOK = looks([["madry", "trades"]])
NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0.0])


def chart(x: list[float], y: list[float]) -> Chart:
    return Chart(
        kind="test",
        title="Title <b>\nsecond line",
        x=Axis(label="x & y"),
        y=Axis(label="accuracy (%)"),
        series=(
            Series(label="madry", of="madry", x=tuple(x), y=tuple(y), low=tuple(y), high=tuple(y),
                   stroke="-", band=True, said="here"),
            Series(label="<trades>", of="trades", x=tuple(x), y=tuple(y), left=tuple(x),
                   right=tuple(x), stroke=":"),
        ),
        rules=(Rule(along="diagonal"), Rule(along="x", at=1, label="trained"),
               Rule(along="y", at=2, label="level", of="madry")),
        shaded=((0, 1),),
        rows=pd.DataFrame({"x": x, "y": y}),
    )  # fmt: skip


HEAT = Heat(
    kind="heat", title="t", across="class", down="method", columns=("0", "1"), names=("a", "<b>"),
    values=np.array([[0.0, 100.0], [np.nan, 54.6]]), framed=((0, 1),), parted=1,
)  # fmt: skip
PICTURES = Pictures(
    kind="pictures", title="t", names=("clean",), columns=("3 -> 5\nsquare",),
    pixels=np.zeros((1, 1, 1, 4, 4), np.float32),
)  # fmt: skip
PANELS = Panels(kind="panels", title="t", charts=(chart([1, 2], [3, 4]),) * 5)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<page>{text}</page>")


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_every_point_has_a_place_inside_its_figure(points: list[tuple[float, float]]) -> None:
    xs, ys = zip(*points, strict=True)
    page = parsed(screen.drawn(chart(list(xs), list(ys)), LOOK))
    (svg,) = (part for part in page if part.tag == "svg")
    width, height = map(float, svg.get("viewBox", "").split()[2:])
    marks = list(svg.iter("use"))
    fine = [point for point in points if all(map(math.isfinite, point))]
    assert len(marks) == 2 * len(fine)
    for mark in marks:
        assert 0 <= float(mark.get("x", "")) <= width
        assert 0 <= float(mark.get("y", "")) <= height
    assert "nan" not in "".join(part.get("d", "") for part in svg.iter("path"))


@given(st.floats(1e-3, 1e6), st.floats(1.5, 1e4))
def test_logarithmic_axes_keep_the_order(low: float, times: float) -> None:
    wide = replace(chart([low, low * times], [1, 2]), x=Axis(label="x", scale="counts"))
    page = parsed(screen.drawn(wide, LOOK))
    places = [float(mark.get("x", "")) for mark in page.iter("use")][:2]
    assert places[0] < places[1]


def test_foreign_words_stay_words() -> None:
    for figure in (chart([1, 2], [3, 4]), HEAT, PICTURES, PANELS):
        text = screen.drawn(figure, LOOK)
        assert not {part.tag for part in parsed(text).iter()} & {"b", "trades", "script"}


def test_a_matrix_is_a_table_with_every_number() -> None:
    text = screen.drawn(HEAT, LOOK)
    assert re.findall(r'<td class="(h\d+)( framed)?">(\d+)</td>', text) == [
        ("h0", "", "0"), ("h100", " framed", "100"), ("h55", "", "55"),
    ]  # fmt: skip
    assert "<td>-</td>" in text


@pytest.mark.parametrize("figure", [chart([1, 2], [3, 4]), HEAT, PICTURES, PANELS])
def test_paper_has_three_files_and_truetype_fonts(
    figure: Chart | Heat | Pictures | Panels, tmp_path: Path
) -> None:
    path = paper.save(figure, LOOK, tmp_path / "figure")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figure.csv").is_file()
    pdf = (tmp_path / "figure.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    with Image.open(path) as image, PdfDocument(pdf) as document:
        assert image.size == pytest.approx(
            [at * paper.DPI / 72 for at in document[0].get_size()], abs=1
        )
        assert np.asarray(image.convert("L")).min() < 128  # something is there


def test_what_has_not_changed_is_not_drawn_again(tmp_path: Path) -> None:
    one = chart([1, 2], [3, 4])
    png = paper.save(one, LOOK, tmp_path / "figure")
    before = png.read_bytes(), png.stat().st_mtime_ns
    paper.save(one, LOOK, tmp_path / "figure")
    assert (png.read_bytes(), png.stat().st_mtime_ns) == before
    others = [
        (replace(one, title="another"), LOOK),
        (chart([1, 2], [3, 5]), LOOK),
        (one, looks([["madry", "natural", "trades"]])),
    ]
    for figure, look in others:
        paper.save(figure, look, tmp_path / "figure")
        assert png.stat().st_mtime_ns != before[1]
        before = png.read_bytes(), png.stat().st_mtime_ns
    (tmp_path / "figure.pdf").unlink()
    paper.save(one, LOOK, tmp_path / "figure")
    assert (tmp_path / "figure.pdf").is_file()


def test_letters_that_the_cut_font_lacks_are_drawn_all_the_same(tmp_path: Path) -> None:
    odd = replace(chart([1], [2]), title="\u0416 \u03bb \u2264 \u2192 \u265e")
    assert paper.save(odd, LOOK, tmp_path / "figure").is_file()
