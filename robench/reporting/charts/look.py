"""One colour and one marker a method, the same in all figures of a report."""

from collections import Counter
from collections.abc import Iterable

# Okabe and Ito's colours, told apart by colour-blind readers, with a dark red for their yellow,
# which is lost on white. Markers tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

Look = dict[str, tuple[str, str]]
"""Colour and marker by label."""


def looks(tables: Iterable[Iterable[str]]) -> Look:
    """Give every label that occurs a colour and a marker.

    There are more labels than colours: those of a small table are the last to share one.
    """
    groups = [set(table) for table in tables]
    colours, look = dict[str, int](), dict[str, tuple[str, str]]()
    for label in sorted(set().union(*groups)):
        taken, near = Counter(colours.values()), [0.0] * len(COLOURS)
        for group in groups:
            for other in group & colours.keys() if label in group else ():
                near[colours[other]] += 1 / len(group)
        chosen = min(range(len(COLOURS)), key=lambda i: (near[i], taken[i]))
        colours[label] = chosen
        look[label] = COLOURS[chosen], MARKERS[(chosen + taken[chosen]) % len(MARKERS)]
    return look
