"""Transfer: crafted on an undefended and on an adversarially trained cell (Carlini et al. 2019)."""

from robench.adversary.momentum import ATTACKS
from robench.adversary.suite import Suite
from robench.adversary.transfer import Transfer

suite = Suite(
    {
        "from-natural": Transfer(source="natural"),
        "from-madry": Transfer(source="madry"),
        "mi-fgsm-from-natural": Transfer(source="natural", attack=ATTACKS["mi-fgsm"]),
        "mi-fgsm-from-madry": Transfer(source="madry", attack=ATTACKS["mi-fgsm"]),
        "vmi-fgsm-from-natural": Transfer(source="natural", attack=ATTACKS["vmi-fgsm"]),
        "vmi-fgsm-from-madry": Transfer(source="madry", attack=ATTACKS["vmi-fgsm"]),
    }
)
