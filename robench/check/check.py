"""Look at a plugin: ``robench check`` prints what is found, the tests run it over all plugins."""

import re
from collections.abc import Iterator

from robench.adversary.suite import suite
from robench.check.finding import Check, Finding
from robench.check.methods import method_checks
from robench.check.suites import suite_checks
from robench.errors import RobenchError
from robench.plugins import Source
from robench.training.method import method


def check(source: Source) -> Iterator[Finding]:
    """All findings about a plugin, good and bad; only one when it does not even load."""
    loads = _finding("loads", lambda: _loads(source))
    yield loads
    if loads.problem:
        return
    yield _finding("first docstring line says what it is and whose", lambda: _summary(source))
    checks = method_checks if source.kind == "methods" else suite_checks
    for what, look in checks(source.name):
        yield _finding(what, look)


def _finding(what: str, look: Check) -> Finding:
    try:
        return Finding(what, look())
    except RobenchError as error:
        return Finding(what, str(error))
    except (Exception, SystemExit) as error:  # whatever a plugin raises is a finding about it
        return Finding(what, f"{type(error).__name__}: {error}")


def _loads(source: Source) -> str:
    """Whether it has what its kind must define."""
    (method if source.kind == "methods" else suite)(source.name)
    return ""


def _summary(source: Source) -> str:
    if re.fullmatch(r".+: .+\.", source.summary()):
        return ""
    return f'write """Name: what it does (authors and year, where).""", not {source.summary()!r}'
