"""The report in Markdown, as GitHub shows it."""

from collections.abc import Iterator

from robench import __version__
from robench.reporting import claims, markdown
from robench.reporting.found import Report
from robench.reporting.section import Section
from robench.reporting.words import escaped


def page(found: Report, *, figures: bool) -> str:
    """All tables, and the figures if they are drawn."""
    parts = [
        f"# Report of {escaped(found.results.resolve().name)}",
        f"Written by robench {__version__}; [the page for a browser](index.html) has more.",
        claims.markdown(found.claims) if found.claims else "",
        *(part for section in found.sections for part in _section(section, figures=figures)),
        _missing(found),
        _not_trusted(found),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _section(section: Section, *, figures: bool) -> Iterator[str]:
    if section.table is not None:
        yield markdown.written(section.table, level=4 if section.below else 3)
    yield "\n".join(f"- {escaped(line)}" for line in section.said)
    if figures:
        stems = [section.stem(figure) for figure in section.figures]
        yield "\n".join(f"![{stem}](figures/{stem}.png)" for stem in stems)


def _missing(found: Report) -> str:
    if not found.gaps:
        return ""
    lines = [
        f"- {escaped(gap.what)} {gap.status}: {escaped(gap.reason)} `{gap.command}`"
        for gap in found.gaps
    ]
    return "### Not there\n\n" + "\n".join(lines)


def _not_trusted(found: Report) -> str:
    lines = "\n".join(f"- {escaped(problem)}" for problem in found.problems)
    return f"### Not trusted\n\n{lines}" if lines else ""
