"""Everything robench raises on purpose, for a reader: what is wrong, which one, what to do.

    RobenchError
    ├── ConfigError   an option, a setting or a configuration file makes no sense
    ├── PluginError   a method or suite file is missing, named twice, or does not load
    ├── DataError     a data set is not where it was looked for, or is not what it should be
    ├── ForeignError  a file from elsewhere cannot be read safely, or does not fit
    ├── StoreError    a file under the results folder is damaged or is not what it should be
    │   └── WriteError    one cannot be written: disk full, folder read-only or gone, lock lost
    ├── AttackError   an attack left its threat model, or returned something that is no image
    └── Diverged      a training loss is no longer finite

``Stopped`` is no error: the work was asked to stop, and has saved.

The command line prints the message as one line. ``exit_code`` is 2 for what is found before
anything ran and 1 for what went wrong in a cell.
"""

import signal


class RobenchError(Exception):
    """The common ancestor: catch this to catch all of them."""

    exit_code = 1


class ConfigError(RobenchError):
    """An option, a setting or a configuration file makes no sense."""

    exit_code = 2


class PluginError(RobenchError):
    """A method or suite file is missing, named twice, or does not load."""

    exit_code = 2


class DataError(RobenchError):
    """A data set is not where it was looked for, or is not what it should be."""

    exit_code = 2


class ForeignError(RobenchError):
    """A file from elsewhere cannot be read safely, or does not fit."""

    exit_code = 2


class StoreError(RobenchError):
    """A file under the results folder is damaged or is not what it should be."""


class WriteError(StoreError):
    """A file cannot be written: no fault of the cell that it is for."""


class AttackError(RobenchError):
    """An attack left its threat model, or returned something that is no image."""


class Diverged(RobenchError):  # noqa: N818 - it ends a cell; nothing erred
    """A training loss is no longer finite."""


class Stopped(BaseException):
    """The work was asked to stop, and what there was to save is saved.

    No Exception: whatever runs a plugin catches those, and goes on.
    """

    go_on = "the same command goes on from here"
    """What to do now."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number
