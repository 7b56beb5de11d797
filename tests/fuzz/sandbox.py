"""robench in a folder of its own: called in this process, watched, and held to a time."""

import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
import traceback
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from tests.cli.grids import QUICK
from tests.drawing import quickly_drawn
from tests.probing import quickly_probed, unpriced

LONGEST = 60.0
"""Seconds after which a command is taken to hang."""

LOCAL = Path("results/local")


class Fault(AssertionError):  # noqa: N818 - it is found, not made
    """robench did what it never should."""


class Hung(BaseException):
    """The time is over; nothing but the sandbox catches it."""


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str
    written: frozenset[Path]
    """What it wrote, made or took away, outside Python's own caches."""

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err


@cache
def base() -> Path:
    """A folder with two small cells, trained and attacked once in a process."""
    place = Path(tempfile.mkdtemp(prefix="robench-fuzz-"))
    import atexit

    atexit.register(shutil.rmtree, place, ignore_errors=True)
    with _inside(place, {}):
        for grid in (
            (
                "-m",
                "natural,madry",
                "--suite",
                "quick",
                "--eps",
                "1/16,3/16",
                "--save-adversarial",
                "3",
            ),
            ("-m", "natural", "--suite", "detect", "--checkpoints", "best"),
        ):
            done = call("run", *grid, *QUICK, "--quiet", limit=600.0)
            assert done.code == 0, done.err
    return place


@contextlib.contextmanager
def sandbox(environment: Mapping[str, str] | None = None, *, filled: bool = True) -> Iterator[Path]:
    """A fresh current folder, with the two cells if ``filled``, that is taken away afterwards."""
    first = base() if filled else None
    place = Path(tempfile.mkdtemp(prefix="robench-fuzz-"))
    try:
        inside = place / "inside"
        shutil.copytree(first, inside) if first else inside.mkdir()
        with _inside(inside, environment or {}):
            yield inside
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _inside(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    kept, here = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith("ROBENCH_")]:
        del os.environ[name]
    os.environ["ROBENCH_JOBS"] = "0"  # a process of its own would see nothing of this one's limits
    os.environ["ROBENCH_TRACEBACK"] = "1"  # a fault in robench is then raised as it is
    try:
        os.environ.update(environment)
        os.chdir(folder)
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(kept)


@contextlib.contextmanager
def _own_plugins() -> Iterator[None]:
    """Plugin files are read anew: another example may have had another file of that name."""
    kept = {name: sys.modules.pop(name) for name in _plugins_loaded()}
    try:
        yield
    finally:
        for name in _plugins_loaded():
            del sys.modules[name]
        sys.modules.update(kept)


def _plugins_loaded() -> list[str]:
    return [name for name in sys.modules if name.startswith("robench_plugins_")]


def call(*arguments: str, limit: float = LONGEST) -> Answer:
    """Run the command line.

    Raises:
        Fault: it raised, or did not end in time.
    """
    from robench.cli.main import main

    torch.set_num_threads(1)
    streams = [_stream("strict"), _stream("backslashreplace")]
    code: Any = None
    with (
        _written() as written,
        quickly_drawn(),
        quickly_probed(),
        unpriced(),
        _own_plugins(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            try:
                with _limited(limit):
                    main(arguments)
            except SystemExit as left:
                code = left.code
            except Hung:
                raise Fault(f"hangs: {arguments}") from None
            except BaseException as error:
                raise Fault("".join(traceback.format_exception(error)[-12:])) from None
    out, err = (_read(stream) for stream in streams)
    return Answer(int(code or 0), out, err, frozenset(written))


def judged(answer: Answer, *, codes: tuple[int, ...] = (0, 1, 2), into: Path | None = LOCAL) -> int:
    """The exit code of an answer that is as it should be.

    Raises:
        Fault: another code, no word about what is wrong, characters that move a terminal's cursor,
            or something written elsewhere than ``into``.
    """
    if answer.code not in codes:
        raise Fault(f"exit code {answer.code}: {answer.err[-2000:]}")
    if answer.code and not answer.text.strip():
        raise Fault(f"exit code {answer.code} without a word")
    if "Traceback (most recent call last)" in answer.text:
        raise Fault(answer.text[-2000:])
    odd = {c for c in answer.text if unicodedata.category(c) in ("Cc", "Cs", "Cf")} - {"\n", "\t"}
    if odd:
        raise Fault(f"printed as they are: {sorted(odd)!r}")
    home = into.absolute() if into else None
    outside = [path for path in answer.written if home is None or not path.is_relative_to(home)]
    if outside:
        raise Fault(f"wrote {outside[0]}")
    return answer.code


def put(path: Path, what: str, content: bytes) -> None:
    """Something in the place of a file: a file, or what is none."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "file":
        path.write_bytes(content)
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "device":
        path.symlink_to("/dev/zero")


def _stream(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)


def _read(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "surrogatepass")


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def end(_: int, __: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_watching: list[set[Path]] = []
"""Where the audit hook notes what is written; it cannot be taken away, only find nobody here."""

_CHANGES = {"os.mkdir": 0, "os.remove": 0, "os.rename": 1, "os.rmdir": 0, "os.truncate": 0,
            "os.symlink": 1, "os.link": 1}  # fmt: skip


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, flags = arguments[0], arguments[2]
        if not isinstance(path, str | bytes) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event in _CHANGES:
        path = arguments[_CHANGES[event]]
    else:
        return
    place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - also of names that are odd
    if not _is_cache(place):
        _watching[-1].add(place)


def _is_cache(path: Path) -> bool:
    """What Python and its packages keep for themselves."""
    own = "__pycache__" in path.parts or path.is_relative_to(sys.prefix)
    return own or str(path).startswith(("/dev/", "/proc/")) or ".cache" in path.parts


@cache
def _hooked() -> None:
    sys.addaudithook(_note)


@contextlib.contextmanager
def _written() -> Iterator[set[Path]]:
    _hooked()
    found: set[Path] = set()
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.pop()
