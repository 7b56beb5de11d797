"""The transfer matrix as a heat map; the diagonal is framed."""

import numpy as np

from robench.analysis.transfer import Matrix
from robench.reporting.charts.chart import Heat
from robench.reporting.transfer import NATURAL, named, title


def chart(matrix: Matrix) -> Heat:
    """Natural accuracy above, then a row a source."""
    shared, seeds = matrix.shared, max(matrix.seeds.values())
    of = f"n={shared['n']}, {seeds} seed{'s' * (seeds > 1)}, {shared['checkpoint']} checkpoint"
    sources = [str(source) for source in matrix.robust.index]
    return Heat(
        kind="",
        title=f"{title(matrix)}\nrobust accuracy (%), {of}",
        across="attacked",
        down="crafted on",
        columns=tuple(named(matrix, target) for target in matrix.targets),
        names=(NATURAL, *(named(matrix, source) for source in sources)),
        values=100 * np.vstack([matrix.natural.to_numpy(), matrix.robust.to_numpy()]),
        framed=tuple(
            (1 + sources.index(target), column)
            for column, target in enumerate(matrix.targets)
            if target in sources
        ),
        parted=1,
        rows=matrix.robust.rename_axis("source").reset_index(),
    )
