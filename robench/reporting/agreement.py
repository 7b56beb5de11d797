"""Which attack, suite or norm breaks what others leave."""

import numpy as np
import pandas as pd

from robench.analysis.agreement import Agreement
from robench.reporting.table import Table


def table(found: Agreement) -> Table:
    """A row and a column for each suite, norm and radius."""
    shared = found.shared
    return Table(
        title=title(found),
        header=("falls to, but stands against", *found.names),
        rows=tuple(
            (name, *("-" if np.isnan(share) else f"{100 * share:.1f}" for share in shares))
            for name, shares in zip(found.names, found.shares, strict=True)
        ),
        caption=(
            f"Per cent of {shared['n']} test images, {found.checkpoint} checkpoint, means over the "
            "networks that met both. A row of zeros breaks nothing that another leaves; a column "
            "of zeros leaves nothing that another breaks.",
        ),
    )


def title(found: Agreement) -> str:
    """What is compared, in a line."""
    shared = found.shared
    place = f"{shared['dataset']}, {shared['model']}"
    trained = f"trained at {shared['train_norm']} {shared['train_eps']}"
    by = f", all by {found.by}" if found.by else ""
    return f"Agreement of attacks: {place}, {trained}{by}"


def tidy(found: Agreement) -> pd.DataFrame:
    """A row a pair."""
    return pd.DataFrame(
        {
            **found.shared,
            "checkpoint": found.checkpoint,
            "falls_to": name,
            "stands_against": other,
            "share": found.shares[row, column],
            "networks": int(found.networks[row, column]),
        }
        for row, name in enumerate(found.names)
        for column, other in enumerate(found.names)
        if row != column
    )
