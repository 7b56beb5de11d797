"""The norm and the radius of a threat model, as exact numbers that print as people write them."""

import re
from fractions import Fraction
from typing import Literal, cast

from robench import names
from robench.errors import ConfigError

Norm = Literal["Linf", "L2", "L1", "flow", "change"]
NORMS: tuple[Norm, ...] = ("Linf", "L2")
"""Those that a suite is for unless it says otherwise."""
BALLS: tuple[Norm, ...] = (*NORMS, "L1")
"""Those whose radius can be read off two images; what is trained against is one of them."""
THREATS: tuple[Norm, ...] = (*BALLS, "flow")
"""And ``flow``: pixels move by up to a share of the image's side, along each axis. What else may
happen to an image, ``change``, has the strength that its attack says, and no grid asks for it."""

_NUMBER = re.compile(r"(\d{1,20}\.?\d{0,20}(?:e-\d{1,2})?|\.\d{1,20})(?:/(\d{1,20}))?", re.ASCII)


def parse_norm(text: str) -> Norm:
    """``Linf``, ``L2``, ``L1`` or ``flow``, in any case."""
    for norm in THREATS:
        if norm.lower() == text.strip().lower():
            return norm
    return cast(Norm, names.known("norm", text, THREATS))


def parse_eps(text: str, norm: Norm) -> Fraction:
    """A radius in [0, 1] pixel units: ``8/255``, ``3/16``, ``0.3``, ``0``.

    Raises:
        ConfigError: not a number, negative, or (Linf) over 1: a pixel count where a share is meant.
    """
    value = _fraction(text.strip())
    if norm == "flow" and value > 1:
        raise ConfigError(f"eps {text!r} is over 1; a flow's is a share of the image's side")
    if norm == "Linf" and value > 1:
        raise ConfigError(
            f"eps {text!r} is over 1, but pixels are in [0, 1]; write {show_eps(value)}/255?"
            if value.denominator == 1
            else f"eps {text!r} is over 1, but pixels are in [0, 1]"
        )
    return value


def show_eps(value: Fraction) -> str:
    """Exact, as people write it (``3/16``, ``0.3``, ``8/255``); ``parse_eps`` reads it back."""
    if value.denominator in (4, 8, 16, 32):
        return str(value)
    if 1000 * value % 1 == 0:
        return f"{float(value):.3f}".rstrip("0").rstrip(".")
    if 255 * value % 1 == 0:
        return f"{255 * value}/255"
    return str(value)


def _fraction(text: str) -> Fraction:
    if text.startswith("-"):
        raise ConfigError(f"eps {text!r} is negative; a radius is 0 or more")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ConfigError(f"eps {text!r} is not a number; write 8/255, 3/16 or 0.3")
    top, bottom = match.groups()
    if bottom is not None and int(bottom) == 0:
        raise ConfigError(f"eps {text!r} divides by zero")
    return Fraction(top) / int(bottom or 1)
