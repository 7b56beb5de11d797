"""Figures for papers: PDF with TrueType fonts, PNG, and the numbers as CSV."""

import io
from pathlib import Path

import matplotlib
import pypdfium2 as pdfium
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from robench.reporting.charts import drawing
from robench.reporting.charts.chart import Figure, Heat, Pictures
from robench.reporting.charts.look import Look
from robench.store.files import digest, write, write_text

DPI = 200
"""Of the PNG."""

_DRAWN = "robench"
"""Where a PNG says what it was drawn from."""


def save(figure: Figure, look: Look, stem: Path) -> Path:
    """Three files of one name, each whole; the PNG's path. What has not changed is not drawn again.

    What a figure shows, down to its colours, is digested into the PNG.
    """
    table = figure.rows.to_csv(index=False)
    shown = digested(figure, look, table)
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    if not (pdf.is_file() and _drawn_from(png) == shown):
        drawn = page(figure, look)
        write(pdf, drawn)
        write(png, pixels(drawn, shown))
    write_text(stem.with_suffix(".csv"), table)
    return png


def page(figure: Figure, look: Look) -> bytes:
    """A figure as a PDF of one page."""
    file = io.BytesIO()
    with drawing.styled(figure):
        drawn = drawing.laid_out(figure, look)
        drawn.savefig(file, format="pdf", metadata={"CreationDate": None})
    return file.getvalue()


def pixels(pdf: bytes, shown: str) -> bytes:
    """The page as a PNG, which takes a tenth of the time that drawing the figure again would.

    It says what it was drawn from: ``shown``.
    """
    with pdfium.PdfDocument(pdf) as document:
        image = document[0].render(scale=DPI / 72).to_pil()
    told, file = PngInfo(), io.BytesIO()
    told.add_text(_DRAWN, shown)
    image.save(file, "png", pnginfo=told, dpi=(DPI, DPI))
    return file.getvalue()


def digested(figure: Figure, look: Look, table: str) -> str:
    """All that a figure shows, and the code that draws it."""
    seen = {label: look[label] for label in figure.of}
    files = Path(__file__), Path(drawing.__file__), drawing.STYLE
    code = [path.read_text(encoding="utf-8") for path in files]
    match figure:
        case Heat():
            numbers = figure.values.tobytes().hex()
        case Pictures():
            numbers = figure.pixels.tobytes().hex()
        case _:
            numbers = ""  # all of them are in its words
    return digest([numbers, repr(figure), seen, table, matplotlib.__version__, *code])


def _drawn_from(png: Path) -> str:
    try:
        with Image.open(png) as image:
            return str(image.info.get(_DRAWN, ""))
    except OSError:
        return ""
