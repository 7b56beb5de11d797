"""Who computed a number: versions, machine, source. Recorded with every cell, never in a key."""

import platform
import subprocess
from functools import cache
from pathlib import Path

from robench import __version__
from robench.versions import version

PACKAGES = ("torch", "torchvision", "numpy", "autoattack", "pyautoattack", "torchattacks")


@cache
def provenance() -> dict[str, object]:
    """Versions of everything a number may depend on; ``None`` for what is not installed."""
    return {
        "robench": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    """The checkout's commit, with ``+`` when files differ from it; ``None`` for a wheel."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=checkout, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
