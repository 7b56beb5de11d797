"""Names: those that tables keep for themselves; those that users type, checked and guessed."""

import difflib
import re
from collections.abc import Iterable

from robench.errors import ConfigError, RobenchError

WORST = "worst"
"""The row that closes a suite: what stands against all its attacks."""

ADAPTIVE = "adaptive"
"""The row of a method's own attack."""

TOGETHER = "together"
"""What all measures of a suite come to."""


def known(
    kind: str, name: str, names: Iterable[str], error: type[RobenchError] = ConfigError
) -> str:
    """The name itself when it is one of ``names``; otherwise an error that helps."""
    there_are = list(names)
    if name in there_are:
        return name
    close = closest(name, there_are)
    hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(there_are)}"
    raise error(f"no {kind} is called {name!r}; {hint}")


def in_a_file_name(text: str) -> str:
    """The same as part of a file's name, which leads to no other folder and has no ending."""
    return re.sub(r"[^\w@=+-]+", "-", text)[:100]


def is_file_name(text: str) -> bool:
    """Whether a name from elsewhere is one of something in a folder, and no way out of it."""
    return text not in ("", ".", "..") and text.isprintable() and not set(text) & set("/\\")


def closest(name: str, names: Iterable[str]) -> str | None:
    """The known name that looks most like a misspelt one."""
    by_lower = {known.lower(): known for known in names}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[match[0]] if match else None
