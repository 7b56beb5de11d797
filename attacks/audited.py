"""Audited: AutoAttack's dear half on a random part of what stands (after Croce & Hein 2020)."""

from robench.adversary.standard import STANDARD
from robench.adversary.suite import Audit, Suite

suite = Suite(
    STANDARD, verdict="audited", audit=Audit(("fab-t", "square"), images=500), when_random="rand"
)
