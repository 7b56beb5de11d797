"""Background: PGD on dark pixels, or outside a centre crop (Rothberg et al. 2019, 1909.04779)."""

from robench.adversary.background import BehindPGD
from robench.adversary.suite import Suite
from robench.radius import BALLS

suite = Suite({"border": BehindPGD(mask="border"), "dark": BehindPGD(mask="dark")}, norms=BALLS)
