"""When a number of images is evidence; no torch.

Attacks draw, stop early and fail by chance, so that an honest model shows a little of nearly every
sign. A flag goes up when so many images would show it in less than one of a hundred test sets from
an honest model. How often honest models show a sign was measured on robench's reference models:
Madry, TRADES, MART and natural training on digits, Madry and TRADES on MNIST, in Linf and L2.
"""

from scipy.stats import binom

from robench.evaluation.flags import Finding

RARE = 0.02
"""Share of images on which an honest model shows most signs, at most; 4 of 32 are evidence."""

COMMON = 0.1
"""For what a better attack takes from a weaker one on any model; 9 of 32 are evidence."""


def beyond(count: int, of: int, share: float) -> bool:
    """Whether ``count`` or more ``of`` images have a chance below 1 % when each has ``share``."""
    return bool(binom.sf(count - 1, of, share) < 0.01)


def judged(count: int, of: int, share: float, detail: str) -> Finding:
    """A flag by a number of images; unknown where not even all of them would be evidence."""
    if not beyond(of, of, share):
        return Finding("unknown", f"{of} images are too few to tell")
    return Finding("up" if beyond(count, of, share) else "ok", f"{count} of {of} images {detail}")
