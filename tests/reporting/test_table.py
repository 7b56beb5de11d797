"""Who leads a column, and the same table on a terminal, in Markdown and in LaTeX."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from robench.reporting import latex, markdown, terminal
from robench.reporting.table import Table, leaders, value
from tests.reporting.conftest import EVIL

CELLS = st.sampled_from(["-", "", "failed", "9.0", "10.0 ± 2.0", "63.3 (58.2-68.1)", "63.3", "100"])


@given(st.lists(CELLS, min_size=1, max_size=8), st.data())
def test_who_leads_is_not_beaten_and_nobody_leads_alone_among_equals(
    column: list[str], data: st.DataObject
) -> None:
    rows = [("label", cell) for cell in column]
    among = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True))
    best, second = leaders(rows, [1], among)
    values = {row: value(rows[row][1]) for row in among}
    known = sorted({v for v in values.values() if v is not None}, reverse=True)
    if len(known) < 2:
        assert not best
        assert not second
        return
    assert {row for row, _ in best} == {row for row, v in values.items() if v == known[0]}
    assert {row for row, _ in second} == (
        {row for row, v in values.items() if v == known[1]} if len(best) == 1 else set()
    )


@pytest.mark.parametrize(
    ("cell", "number"),
    [("63.3 ± 0.5", 63.3), ("-", None), ("", None), ("nan", None), ("+0.7 (-3 to 4)", 0.7)],
)
def test_the_number_of_a_cell(cell: str, number: float | None) -> None:
    assert value(cell) == number


EVERYTHING = Table(
    title=f"Title {EVIL}",
    header=("method", "natural_acc %", "worst 8/255"),
    rows=(
        ("trades[beta=6,inner.x_y=1] † ‡", "98.3 ± 0.3", "66.5"),
        (EVIL, "nan", "-"),
        ("ünï \u4e2d\u6587 <b> ~^ | \u2193", "failed", ""),
    ),
    caption=("Per cent of 360 test images; \u00b1 is ...",),
    footnotes=(f"† {EVIL}", "‡ weak"),
    best=frozenset({(0, 1)}),
    second=frozenset({(0, 2)}),
)


def test_marks_and_words_in_markdown() -> None:
    text = markdown.written(EVERYTHING)
    assert "| **98.3 ± 0.3** | *66.5* |" in text
    assert "<script" not in text.replace("\\<", "")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}


def test_marks_and_words_on_a_terminal() -> None:
    console = Console(width=100, force_terminal=True, highlight=False)
    with console.capture() as drawn:
        console.print(terminal.shown(EVERYTHING))
    text = drawn.get()
    assert "\x1b[1m98.3 ± 0.3\x1b[0m" in text
    assert "\x1b[4m66.5\x1b[0m" in text
    assert "[beta=6,inner.x_y=1]" in text.replace("\n", "")


def test_marks_and_words_in_latex() -> None:
    text = latex.written(EVERYTHING, "all")
    assert r"\textbf{98.3 $\pm$ 0.3} & \underline{66.5} \\" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert r"trades[beta=6,inner.x\_y=1] \textdagger{} \textdaggerdbl{}" in text
    assert "[U+4E2D]" in text
    assert r"\label{tab:all}" in text


DOCUMENT = r"""\documentclass%s
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


def set_in_latex(texts: list[str], folder: Path, preamble: str) -> str:
    """What LaTeX says of tables in a plain document; skips without LaTeX."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs LaTeX: Debian's texlive-latex-recommended")
    # Floats wait for a page that has room; eighteen is what LaTeX can hold.
    body = "\n\\clearpage\n".join(texts)
    (folder / "paper.tex").write_text(DOCUMENT % (preamble, body), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").is_file()
    return (folder / "paper.log").read_text(errors="replace")


def test_a_plain_document_takes_every_table(reported: Path, tmp_path: Path) -> None:
    tables = sorted((reported / "tables").glob("*.tex"))
    assert len(tables) > 5
    texts = [path.read_text(encoding="utf-8") for path in tables]
    texts.append(latex.written(EVERYTHING, "everything"))
    said = set_in_latex(texts, tmp_path, "[twocolumn]{article}")
    assert "Missing character" not in said


@pytest.mark.parametrize("letters", ["0.734 ± 0.012", "multinorm", "adaptive 3/16"])
def test_a_table_is_no_wider_than_an_article(letters: str, tmp_path: Path) -> None:
    tables = [
        Table(title="t", header=("", *[letters] * columns), rows=(("madry", *["9"] * columns),))
        for columns in (1, 3, 4, 5, 6, 8, 12)
    ]
    texts = [latex.written(table, str(at)) for at, table in enumerate(tables)]
    said = set_in_latex(texts, tmp_path, "{article}")
    assert "Overfull" not in said
    shrunk = ["graphicx" in text for text in texts]
    assert shrunk == sorted(shrunk)
    assert not shrunk[0]
    assert shrunk[-1]
