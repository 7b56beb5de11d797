"""What an audit says of a cell: a row for the table on disk, a line for the one that is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robench.cli.options import width

if TYPE_CHECKING:
    from robench.evaluation.flags import Status
    from robench.reopen import Reopened


@dataclass(frozen=True)
class Line:
    """One indicator of one cell."""

    indicator: str
    status: "Status"
    value: float
    """In [0, 1]; NaN where it is about no image."""
    n: int
    """Images that it is about."""
    detail: str


def row(
    cell: str, found: "Reopened", checkpoint: str, attack: str, line: Line
) -> dict[str, object]:
    """A row of audit.csv."""
    from robench.evaluation.indicators.catalogue import INDICATORS
    from robench.radius import show_eps

    return {
        "method": found.label,
        **{name: found.identity[name] for name in ("dataset", "model", "seed")},
        "checkpoint": checkpoint,
        "norm": found.threat.norm,
        "eps": show_eps(found.eps),
        "attack": attack,
        "cell": cell,
        **vars(line),
        "mitigation": INDICATORS[line.indicator].remedy if line.status == "up" else "",
    }


def title(found: "Reopened", checkpoint: str, attack: str) -> str:
    """``madry seed 0 best: apgd-ce at Linf 3/16``."""
    from robench.radius import show_eps

    what = f"{found.label} seed {found.identity['seed']} {checkpoint}"
    return f"{what}: {attack} at {found.threat.norm} {show_eps(found.eps)}"


def drawn(lines: Sequence[Line]) -> str:
    """For a terminal of 80 columns and more; what is up comes with what to do."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from robench.evaluation.indicators.catalogue import INDICATORS

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in ("indicator", "value", "verdict", "what it says, and what to do"):
        table.add_column(name, no_wrap=name in ("value", "verdict"), overflow="fold")
    for line in lines:
        flag, value = INDICATORS[line.indicator], "-" if line.n == 0 else f"{line.value:.2f}"
        more = f"\n{flag.summary} {flag.why} {flag.remedy}" if line.status == "up" else ""
        table.add_row(line.indicator, value, line.status, Text(line.detail + more))
    console = Console(color_system=None, highlight=False, width=max(width(), 80))
    with console.capture() as text:
        console.print(table)
    return "\n".join(part.rstrip() for part in text.get().splitlines())
