"""Errors under corruptions as a share of natural training's: the form that mCE has in the paper.

Hendrycks & Dietterich 2019 (arXiv:1903.12261) divide by AlexNet's errors on ImageNet.
"""

import pandas as pd

from robench.analysis.measured import SHARED
from robench.data.corruptions.catalogue import KINDS, shown

NAME = "mCE by natural"

_KINDS = [shown(kind) for kind in KINDS]
_EVALUATION = ["key", "measure"]
_PLACE = [*SHARED, "measure", "seed", "name"]
"""What two cells have in common whose errors are compared."""


def with_mce(measures: pd.DataFrame) -> pd.DataFrame:
    """The rows of measures.csv, and one more for each evaluation of which the mean ratio is known.

    A kind's errors are added up over severities first, as in the paper. There is no row where
    natural training was not looked at with the same seed and all else that a table shares, or makes
    no error at all of some kind.
    """
    kinds = measures[measures["name"].isin(_KINDS)]
    if kinds.empty:
        return measures
    errors = kinds.assign(error=1 - kinds["value"])
    plain = errors[(errors["method"] == "natural") & (errors["settings"].fillna("") == "")]
    plain = plain[plain["error"] > 0].drop_duplicates(_PLACE, keep=False)
    both = errors.merge(plain[[*_PLACE, "error"]], on=_PLACE, suffixes=("", "_plain"))
    both["ratio"] = both["error"] / both["error_plain"]
    ratios = both.groupby(_EVALUATION)["ratio"].agg(["mean", "count"])
    known = ratios.loc[ratios["count"] == len(_KINDS), "mean"]
    rows = kinds.drop_duplicates(_EVALUATION).set_index(_EVALUATION, drop=False)
    rows = rows.loc[known.index].assign(name=NAME, value=known, low=None, high=None)
    return pd.concat([measures, rows.reset_index(drop=True)], ignore_index=True)
