"""What tables show, unrounded."""

import pandas as pd

from robench.analysis.summary import Summary


def accuracies(summaries: list[Summary]) -> pd.DataFrame:
    """A row a line and radius."""
    return pd.DataFrame(
        {
            **summary.shared,
            "checkpoint": summary.checkpoint,
            "method": line.label,
            "deviates": line.deviates,
            "control": line.control,
            "seeds": len(line.seeds),
            "natural": line.natural.mean,
            "natural_spread": line.natural.spread,
            "eps": eps,
            "worst": found.mean,
            "worst_spread": found.spread,
            "worst_low": found.low,
            "worst_high": found.high,
            "last": line.last.mean if line.last and eps == summary.headline else None,
            "gap": line.gap if eps == summary.headline else None,
            "flags": ", ".join(line.flags),
        }
        for summary in summaries
        for line in summary.lines
        for eps, found in line.worst.items()
    )
