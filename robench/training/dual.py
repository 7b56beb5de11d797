"""A Lagrange multiplier that is learnt beside the weights: dual ascent, a step a batch."""

from torch import Tensor

from robench.training.method import Run


def multiplier(run: Run, bounded: Tensor, bound: float, step: float) -> Tensor:
    """The weight of a bounded loss in this batch; the next one's has moved, never below 0.

    It lives in ``run.state["dual"]``, and rises while the loss is over its bound. train.csv gets
    it, and the slack, ``bound - bounded``, of a mean batch.
    """
    dual, slack = run.state["dual"], bound - bounded.detach()
    run.log["dual"] = dual
    run.note("slack", slack)
    run.state["dual"] = (dual - step * slack).clamp_min(0)  # new: backward needs the old one
    return dual
