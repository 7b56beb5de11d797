"""Threat models that hardly anybody trains for, each with an attack: what suites of them share."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from robench.adversary.apgd import TargetedAPGD
from robench.adversary.changes.change import Change, Changed
from robench.adversary.changes.elastic import Elastic
from robench.adversary.changes.gabor import Gabor
from robench.adversary.changes.jpeg import Jpeg
from robench.adversary.changes.recolour import Recolour
from robench.adversary.changes.spatial import TurnedSearch
from robench.adversary.changes.weather import Fog, Snow
from robench.adversary.flow import Flow
from robench.adversary.wasserstein import Wasserstein
from robench.evaluation.elsewhere import Elsewhere, Overall

LARGER = ("larger-1.5", "larger-2")
"""The grid's own norm at larger radii: seen, and at twice MNIST's all images may become grey."""

OVERALL = Overall(without=LARGER)
"""What all others come to."""

NOTE = (
    "Robust accuracies in threat models of their own, each against one cheap attack, so upper "
    "bounds. The larger radii of the grid's own norm are in neither the union nor the mean."
)


def threats(draws: int = 1, looks: int = 1) -> Mapping[str, Elsewhere]:
    """Measures by name, for a model that draws with several draws and looks.

    Strengths are ours unless said: such that an undefended network falls to most of them and the
    image can be read. On CIFAR-10, whose other radii are small, shares of them make these small.
    """
    near = TargetedAPGD(targets=3, steps=20, draws=draws)  # MM3 of Gao et al. 2022

    def changed(change: Change) -> Changed:
        return Changed(change=change, draws=draws)

    found = {
        # Kang et al. 2019 have 1/256 to 1/4 of the side on CIFAR-10, where a share of 1 is 1/40.
        "elastic": Elsewhere(attack=changed(Elastic()), norm="flow"),
        "flow": Elsewhere(attack=Flow(draws=draws, steps=30), norm="flow"),
        # Laidlaw et al. 2021 have twice as much on CIFAR-10.
        "flow-pixel": Elsewhere(attack=changed(Elastic(smooth=0)), norm="flow", share=0.5),
        "turned": Elsewhere(attack=TurnedSearch(draws=draws), norm="change", eps=1.0),
        # On MNIST 1/28 of the side, or 1 squared pixel, as Wong et al. 2019.
        "wasserstein": Elsewhere(
            attack=Wasserstein(draws=draws), norm="change", of="flow", share=5 / 7
        ),
        # On CIFAR-10 a third of a step in the count of Kang et al. 2019, who have 1/32 to 1.
        "jpeg": Elsewhere(attack=changed(Jpeg()), norm="change", of="Linf", share=8 / 3),
        "fog": Elsewhere(attack=changed(Fog()), norm="change", eps=0.4),
        "snow": Elsewhere(attack=changed(Snow()), norm="change", eps=0.6),
        "gabor": Elsewhere(attack=changed(Gabor()), norm="change", of="Linf", share=1.5),
        # Laidlaw & Feizi 2019 have 0.06 on CIFAR-10, where this is 0.04.
        "recolour": Elsewhere(attack=changed(Recolour()), norm="change", of="Linf", share=4 / 3),
        "ball-linf": Elsewhere(attack=near, norm="Linf"),
        "ball-l2": Elsewhere(attack=near, norm="L2"),
        "ball-l1": Elsewhere(attack=near, norm="L1"),
        LARGER[0]: Elsewhere(attack=near, share=1.5),
        LARGER[1]: Elsewhere(attack=near, share=2.0),
    }
    return MappingProxyType({name: replace(one, looks=looks) for name, one in found.items()})
