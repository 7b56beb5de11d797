"""Transfer: crafted on an undefended and on an adversarially trained cell (Carlini et al. 2019)."""

from robench.adversary.suite import Suite
from robench.adversary.transfer import Transfer

suite = Suite({"from-natural": Transfer(source="natural"), "from-madry": Transfer(source="madry")})
