"""The catalogue of indicators: how an attack fails, and what to do about it (no torch here).

Six are those of Pintor et al. 2022 (arXiv:2106.09947), who name six failures (F1 to F6) and a
mitigation for each (M1 to M6); the last is the test of Zimmermann et al. 2022 (arXiv:2206.13991).
"""

from collections.abc import Mapping

from robench.evaluation.flags import Flag

BINARISATION = "binarisation"

INDICATORS: Mapping[str, Flag] = {
    "unavailable-gradients": Flag(
        summary="The loss that the attack climbs has no gradient at images or beside them.",
        why="Shattered gradients (F1): the attack stays where it is.",
        remedy="M1: replace what has no gradient by something smooth on the way back (BPDA); where"
        " the loss has only saturated, climb the margin or the DLR loss.",
    ),
    "unstable-predictions": Flag(
        summary="The margin jumps between points that are next to each other.",
        why="Stochastic gradients (F2), or a function that is not continuous: the gradient says"
        " nothing of what lies a step away.",
        remedy="M2: average gradients over draws (EOT, suite rand), or over points around the"
        " iterate where the model does not draw but jumps.",
    ),
    "silent-success": Flag(
        summary="The attack met wrong answers on its way and came back with a right one.",
        why="A fault in the attack (F3): it counts as robust what it has broken.",
        remedy="M3: keep the first wrong iterate, or the one with the highest loss, and not the"
        " last; look at a model that draws several times.",
    ),
    "incomplete-optimisation": Flag(
        summary="The loss of images that stand was still rising when the attack ended.",
        why="An attack that has not converged (F4): more steps might break them.",
        remedy="M4: more steps, another step size, restarts, or an attack that chooses its steps"
        " by itself (APGD).",
    ),
    "transfer-failure": Flag(
        summary="The model that the attack climbed is fooled, the one that is judged is not.",
        why="An attack that is not adaptive (F5): it was aimed at something else.",
        remedy="M5: attack all of the model that is judged, with a loss that knows of every part.",
    ),
    "unconstrained-failure": Flag(
        summary="Images stand even where every image is allowed.",
        why="Unreachable wrong answers (F6): the gradient leads into places that it does not lead"
        " out of, at any radius.",
        remedy="M6: climb another, smoother loss with larger steps and several starts; see what"
        " black-box and transferred attacks find (suites blackbox and transfer).",
    ),
    BINARISATION: Flag(
        summary="The attack misses adversarial examples that are there by construction.",
        why="What it cannot find on these features when it must be there, it would not find on the"
        " model's own classes either.",
        remedy="Believe no number of this attack on this model until an adapted attack passes.",
    ),
}
"""By the name that tables give them, in the order in which they are shown."""
