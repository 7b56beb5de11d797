"""Which attack, suite or norm breaks what others leave, as a heat map."""

from robench.analysis.agreement import Agreement
from robench.reporting.agreement import tidy, title
from robench.reporting.charts.chart import Heat


def chart(found: Agreement) -> Heat:
    """Rows break, columns leave."""
    networks = found.networks.max()
    over = f"mean of {networks} networks" if networks > 1 else "one network"
    of = f"n={found.shared['n']}, {found.checkpoint} checkpoint, {over}"
    return Heat(
        kind="agreement",
        title=f"{title(found)}\n% of images that fall to the row and stand against the "
        f"column, {of}",
        across="stands against",
        down="falls to",
        columns=found.names,
        names=found.names,
        values=100 * found.shares,
        rows=tidy(found),
    )
