"""Figures for the page: SVG that takes its colours from the page, and tables for matrices."""

import base64
import io
from collections.abc import Iterable, Iterator
from html import escape

import numpy as np
from PIL import Image

from robench.reporting.charts.chart import Chart, Figure, Heat, Panels, Pictures, Rule, Series
from robench.reporting.charts.look import COLOURS, MARKERS, Look
from robench.reporting.charts.scales import Scale, across, down, number

WIDTH, PANEL = 400, 200
"""Of a chart and of one of several small ones, in its own units: letters are ten high."""

_SHAPES = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "s": "M-3.4-3.4h6.8v6.8h-6.8z",
    "^": "M0-4.4L4.2 3.4H-4.2z",
    "D": "M0-4.6L4.2 0L0 4.6L-4.2 0z",
    "v": "M0 4.4L4.2-3.4H-4.2z",
    "P": "M-1.6-4.4h3.2v2.8h2.8v3.2h-2.8v2.8h-3.2v-2.8h-2.8v-3.2h2.8z",
    "X": "M-4.2-2.2l2-2L0-2l2.2-2.2l2 2L2 0l2.2 2.2l-2 2L0 2l-2.2 2.2l-2-2L-2 0z",
    "*": "M0-4.8l1.2 3.3h3.5l-2.8 2.1l1 3.4L0 2l-2.9 2l1-3.4l-2.8-2.1h3.5z",
}
_DASHES = {"--": "5 3", ":": "1.5 3", "-.": "5 3 1.5 3"}

SHAPES = "".join(f'<path id="m{k}" d="{_SHAPES[m]}"/>' for k, m in enumerate(MARKERS))
"""The markers, once for the whole page."""


def drawn(figure: Figure, look: Look) -> str:
    """HTML of a figure without its title: charts with their legend, or a table."""
    match figure:
        case Heat():
            return _table(figure)
        case Pictures():
            return _gallery(figure)
        case Panels():
            small = "".join(
                f'<figure class="panel"><figcaption>{escape(c.title)}</figcaption>'
                f"{_svg(c, look, PANEL)}</figure>"
                for c in figure.charts
            )
            return f'<div class="panels">{small}</div>'
        case Chart():
            return _svg(figure, look, WIDTH) + _legend(figure, look)


def _svg(chart: Chart, look: Look, width: float) -> str:
    names = len(chart.y.ticks)
    height = 44 + (13 if names > 8 else 22) * names if names else 0.72 * width
    y = down(chart, height - 34, 8)
    x = across(chart, y.room() + 18, width - 8)
    parts = [
        *(_shade(low, high, x, y) for low, high in chart.shaded),
        _axes(chart, x, y, height),
        *(_rule(rule, look, x, y) for rule in chart.rules),
        *(_series(one, look, x, y) for one in map(Series.finite, chart.series) if one.x),
    ]
    label = escape(f"{chart.title}: {chart.y.label} against {chart.x.label}", quote=True)
    box = f"0 0 {width:g} {height:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _axes(chart: Chart, x: Scale, y: Scale, height: float) -> str:
    parts = ['<g class="ax">']
    for value, name in x.ticks:
        at = x.at(value)
        parts.append(f'<path d="M{at:.1f} {y.last:g}V{y.first:g}"/>')
        parts.append(f'<text x="{at:.1f}" y="{y.first + 12:g}" class="mid">{escape(name)}</text>')
    for value, name in y.ticks:
        at = y.at(value)
        if not y.named:
            parts.append(f'<path d="M{x.first:g} {at:.1f}H{x.last:g}"/>')
        parts.append(
            f'<text x="{x.first - 5:g}" y="{at + 3.2:.1f}" class="end">{_short(name)}</text>'
        )
    middle = (x.first + x.last) / 2, (y.first + y.last) / 2
    parts.append(
        f'<text x="{middle[0]:.0f}" y="{height - 6:g}" class="mid">{escape(chart.x.label)}</text>'
    )
    parts.append(
        f'<text transform="translate(10 {middle[1]:.0f})rotate(-90)" class="mid">'
        f"{escape(chart.y.label)}</text></g>"
    )
    return "".join(parts)


def _short(name: str) -> str:
    """What fits beside the axis; the whole name is said when asked."""
    if len(name) <= 26:
        return escape(name)
    return f"{escape(name[:25])}\u2026<title>{escape(name)}</title>"


def _shade(low: float, high: float, x: Scale, y: Scale) -> str:
    top, bottom = sorted((y.at(low), y.at(high)))
    size = f'width="{x.last - x.first:g}" height="{bottom - top:.1f}"'
    return f'<rect class="shade" x="{x.first:g}" y="{top:.1f}" {size}/>'


def _rule(rule: Rule, look: Look, x: Scale, y: Scale) -> str:
    colour = _colour(rule.of, look)
    if rule.along == "diagonal":
        low, high = max(x.low, y.low), min(x.high, y.high)
        path = f"M{x.at(low):.1f} {y.at(low):.1f}L{x.at(high):.1f} {y.at(high):.1f}"
    elif rule.along == "y":
        path = f"M{x.first:g} {y.at(rule.at):.1f}H{x.last:g}"
    else:
        path = f"M{x.at(rule.at):.1f} {y.last:g}V{y.first:g}"
    said = f"<title>{escape(rule.label)}</title>" if rule.label else ""
    return f'<path class="rule {colour}" d="{path}">{said}</path>'


def _series(series: Series, look: Look, x: Scale, y: Scale) -> str:
    colour, marker = _colour(series.of, look), MARKERS.index(look.get(series.of, ("", "o"))[1])
    faint = " faint" if series.faint else ""
    parts = [f'<g class="{colour}{faint}" data-m="{escape(series.of, quote=True)}">']
    at = [(x.at(a), y.at(b)) for a, b in zip(series.x, series.y, strict=True)]
    if series.band:
        parts.append(_band(series, x, y))
    elif series.low or series.left:
        parts.append(f'<path d="{_bars(series, x, y)}"/>')
    if series.stroke:
        dash = f' stroke-dasharray="{_DASHES[series.stroke]}"' if series.stroke != "-" else ""
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in at)
        parts.append(f'<path class="line"{dash} d="M{line}"/>')
    if series.marked:
        for (a, b), note in zip(at, _notes(series), strict=True):
            place = f'x="{a:.1f}" y="{b:.1f}"'
            parts.append(f'<use href="#m{marker}" {place}><title>{escape(note)}</title></use>')
    if series.said:
        a, b = x.at(series.x[0]) + 5, y.at(series.y[0] + series.raised) - 5
        parts.append(f'<text class="said" x="{a:.1f}" y="{b:.1f}">{escape(series.said)}</text>')
    return "".join([*parts, "</g>"])


def _notes(series: Series) -> Iterable[str]:
    if series.notes:
        return series.notes
    label = series.label or series.of
    pairs = zip(series.x, series.y, strict=True)
    return [f"{label}: {number(a)}, {number(b)}" for a, b in pairs]


def _band(series: Series, x: Scale, y: Scale) -> str:
    above = [f"{x.at(a):.1f} {y.at(b):.1f}" for a, b in zip(series.x, series.high, strict=True)]
    below = [f"{x.at(a):.1f} {y.at(b):.1f}" for a, b in zip(series.x, series.low, strict=True)]
    return f'<path class="band" d="M{"L".join([*above, *below[::-1]])}z"/>'


def _bars(series: Series, x: Scale, y: Scale) -> str:
    upright = zip(series.x, series.low, series.high, strict=True) if series.low else ()
    level = zip(series.y, series.left, series.right, strict=True) if series.left else ()
    parts = [f"M{x.at(a):.1f} {y.at(low):.1f}V{y.at(high):.1f}" for a, low, high in upright]
    parts += [f"M{x.at(low):.1f} {y.at(b):.1f}H{x.at(high):.1f}" for b, low, high in level]
    return "".join(parts)


def _colour(of: str, look: Look) -> str:
    return f"c{COLOURS.index(look[of][0])}" if of in look else "grey"


def _legend(chart: Chart, look: Look) -> str:
    """What colours, markers and strokes mean; one entry a label."""
    entries = {series.label: _key(series, look) for series in chart.series}
    for rule in chart.rules:
        if rule.of:
            line = Series(of=rule.of, x=(), y=(), stroke=":", marked=False)
            entries[rule.label] = _key(line, look)
    entries.pop("", None)
    items = "".join(f"<li>{key}{escape(label)}</li>" for label, key in entries.items())
    return f'<ul class="legend">{items}</ul>' if items else ""


def _key(series: Series, look: Look) -> str:
    colour, marker = _colour(series.of, look), MARKERS.index(look.get(series.of, ("", "o"))[1])
    dash = f' stroke-dasharray="{_DASHES[series.stroke]}"' if series.stroke in _DASHES else ""
    line = f'<path class="line"{dash} d="M0 6H22"/>' if series.stroke else ""
    point = f'<use href="#m{marker}" x="11" y="6"/>' if series.marked else ""
    return f'<svg class="key {colour}" viewBox="0 0 22 12" aria-hidden="true">{line}{point}</svg>'


def _table(heat: Heat) -> str:
    """A matrix as a table whose cells are as dark as their number."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heat.columns)
    rows = "".join(_cells(heat))
    corner = f'<td class="corner">{escape(heat.down)}</td>'
    over = f'<tr><td></td><th colspan="{len(heat.columns)}">{escape(heat.across)}</th></tr>'
    return (
        f'{_region(heat)}<table class="heat"><thead>{over}<tr>{corner}{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _region(figure: Heat | Pictures) -> str:
    """What scrolls by itself, and can be reached and named without a mouse."""
    label = escape(" ".join(figure.title.split()), quote=True)
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">'


def _cells(heat: Heat) -> Iterator[str]:
    framed = set(heat.framed)
    for row, name in enumerate(heat.names):
        parted = ' class="parted"' * (heat.parted == row + 1)
        yield f'<tr{parted}><th scope="row">{escape(name)}</th>'
        for column, value in enumerate(heat.values[row]):
            if np.isnan(value):
                yield "<td>-</td>"
                continue
            frame = " framed" * ((row, column) in framed)
            yield f'<td class="h{round(value)}{frame}">{value:.0f}</td>'
        yield "</tr>"


def _gallery(pictures: Pictures) -> str:
    """A table of images, each in the page itself."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in pictures.columns)
    rows = []
    for row, name in enumerate(pictures.names):
        cells = "".join(
            f'<td><img alt="{escape(name)}, {escape(title)}" src="{_png(pictures, row, at)}"/></td>'
            for at, title in enumerate(pictures.columns)
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'{_region(pictures)}<table class="gallery"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _png(pictures: Pictures, row: int, column: int) -> str:
    image = Image.fromarray((255 * pictures.shown(row, column)).round().astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
