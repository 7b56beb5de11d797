"""Tables for papers: booktabs, what leads in bold, what is second underlined."""

import pandas as pd

from robench.reporting.table import Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "±": r"$\pm$", "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "\u00d7": r"$\times$",
    "\u2013": "--", "\u2014": "---", "\u2026": r"\ldots{}", "\u2212": "$-$",
    "\u2193": r"$\downarrow$", "\u2191": r"$\uparrow$",
}  # fmt: skip

_LINE = 345.0
"""Points across an article's text."""

_SIZES = {"small": 4.6, "footnotesize": 4.25, "scriptsize": 4.0}
"""How wide a digit is, in points; hardly a letter is wider."""

_SEPARATED = 4
"""Points on either side of a column."""


def written(table: Table, label: str) -> str:
    r"""A float for ``\usepackage{booktabs}``; ``label`` is what ``\ref{tab:...}`` takes.

    Footnotes stand below the table. Nothing in a cell is taken for a command. What is too wide for
    an article has smaller letters; what still is, is shrunk to the line, which takes graphicx.
    """
    frame = pd.DataFrame(
        [[escaped(cell) for cell in row] for row in table.rows],
        columns=pd.Index(range(len(table.header))),
    )
    body = (
        frame.style.hide(axis="index")
        .format_index(lambda at: escaped(table.header[int(str(at))]), axis=1)
        .apply(lambda cells: _styles(table, cells), axis=None)
        .to_latex(hrules=True, column_format="l" + "r" * (len(table.header) - 1))
    )
    fits = [size for size in _SIZES if _width(table, size) <= _LINE]
    size, packages = (fits or ["scriptsize"])[0], "booktabs" if fits else "booktabs,graphicx"
    body = body if fits else f"\\resizebox{{\\linewidth}}{{!}}{{%\n{body}}}\n"
    title = escaped(". ".join((table.title, " ".join(table.caption))))
    notes = "".join(f"\n\\\\ {escaped(note)}" for note in table.footnotes)
    below = f"\\par\\smallskip\\footnotesize\\raggedright{notes[3:]}\n" if notes else ""
    return (
        f"% needs \\usepackage{{{packages}}}\n"
        f"\\begin{{table}}[tbp]\n\\centering\\setlength{{\\tabcolsep}}{{{_SEPARATED}pt}}\n"
        f"\\small\\caption{{{title}}}\n\\{size}\n"
        f"\\label{{tab:{label}}}\n\\vspace{{4pt}}\n{body}{below}\\end{{table}}\n"
    )


def _width(table: Table, size: str) -> float:
    """About how wide it is, in points."""
    columns = zip(table.header, *table.rows, strict=True)
    letters = sum(max(map(len, column)) for column in columns)
    return letters * _SIZES[size] + 2 * _SEPARATED * len(table.header)


def escaped(text: str) -> str:
    """For LaTeX: letters stay what they are; what no font of it has is named by its number."""
    return "".join(
        _SPECIAL.get(c) or (c if c.isascii() or 0xC0 <= ord(c) < 0x180 else f"[U+{ord(c):04X}]")
        for c in text
    )


def _styles(table: Table, cells: pd.DataFrame) -> pd.DataFrame:
    styles = pd.DataFrame("", index=cells.index, columns=cells.columns)
    for places, style in ((table.best, "textbf:--rwrap;"), (table.second, "underline:--rwrap;")):
        for row, column in places:
            styles.iat[row, column] = style
    return styles
