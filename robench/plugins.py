"""Find method and suite files by name; import one only when it is used.

A file's name is its plugin's name, so listing, checking a name and printing help read folders and
never run plugin code. A plugin may share code with its neighbours through files whose names start
with ``_`` (``from ._shared import ...``); those are no plugins, and count towards its digest.
"""

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

from robench import imports, loading, names
from robench.errors import PluginError, RobenchError
from robench.versions import entry_points

Kind = Literal["methods", "attacks"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NOUNS: dict[Kind, str] = {"methods": "method", "attacks": "suite"}


@dataclass(frozen=True)
class Source:
    """Where one plugin lives: a file, or a module that a package names as an entry point."""

    kind: Kind
    name: str
    origin: Path | EntryPoint
    rival: Path | EntryPoint | None = None
    """A different plugin with the same name: neither can be used until one is renamed."""

    @cached_property
    def problem(self) -> str:
        """Why this plugin cannot be used, as far as can be told without running it; else empty."""
        if self.rival is not None:
            both = f"{_place(self.origin)} and {_place(self.rival)}"
            return f"two {NOUNS[self.kind]}s are called {self.name!r}: {both}; rename one"
        if isinstance(self.origin, Path) and not self.name.isidentifier():
            return f"{self._who} needs a name of letters, digits and _; rename it"
        if not re.fullmatch(r"\w[\w-]*", self.name):  # cells' folders carry it
            return f"{self._who} needs a name of letters, digits, _ and -; rename it"
        try:
            tree = self._tree()
        except PluginError as error:
            return str(error)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"{self._who} does not parse: {error}"
        missing = [name for name in imports.packages(tree) if not is_there(name)]
        return f"{self._who} imports {missing[0]!r}, which is not installed" if missing else ""

    def summary(self) -> str:
        """First line of the file's docstring, read without running it."""
        if self.problem:
            return ""
        return (ast.get_docstring(self._tree()) or "").partition("\n")[0]

    def control(self) -> str:
        """What breaks a method that is a negative control, read without running it; else empty."""
        if self.problem:
            return ""
        for node in ast.walk(self._tree()):
            match node:
                case ast.AnnAssign(target=ast.Name("control"), value=ast.Constant(str(text))):
                    return text
        return ""

    def digest(self, used: object = None) -> str:
        """SHA-256 of the files that the plugin is made of: part of every key.

        ``used`` is what the plugin will run with: classes in it may be another plugin's.
        """
        origin, own = self.origin, self.path()
        module = f"{self.kind}.{self.name}" if isinstance(origin, Path) else origin.module
        others = (imports.files(own, module) | imports.files_of(used, _is_ours())) - {own}
        parts = {hashlib.sha256(own.read_bytes()).digest()}
        for file in others:  # by folder and name, wherever they lie
            name = "/".join(file.parts[-2:])
            parts.add(hashlib.sha256(name.encode() + b"\0" + file.read_bytes()).digest())
        return hashlib.sha256(b"".join(sorted(parts))).hexdigest()

    def path(self) -> Path:
        """The file that holds the plugin."""
        if isinstance(self.origin, Path):
            return self.origin
        spec = (
            importlib.util.find_spec(self.origin.module) if is_there(self.origin.module) else None
        )
        if spec is None or spec.origin is None:
            raise PluginError(f"{self._who}: there is no module {self.origin.module!r}")
        return Path(spec.origin)

    def load(self) -> ModuleType:
        """Import the plugin.

        Raises:
            PluginError: it has a rival, does not parse, or fails while it is imported.
        """
        if self.problem:
            raise PluginError(self.problem)
        try:
            if isinstance(self.origin, EntryPoint):
                return importlib.import_module(self.origin.module)
            return loading.load(self.origin)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self._who} fails to load: {type(error).__name__}: {error}"
            ) from error

    @property
    def _who(self) -> str:
        return f"{NOUNS[self.kind]} {self.name!r} ({_place(self.origin)})"

    def _tree(self) -> ast.Module:
        path = self.path()
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise PluginError(f"{self._who} is no file")
        return ast.parse(path.read_bytes())


def find(kind: Kind) -> dict[str, Source]:
    """Every plugin of a kind by name, broken ones included: they say what is wrong with them."""
    found: dict[str, Source] = {}
    for folder in folders(kind):
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith(("_", ".")) and not file.is_dir():
                _add(found, Source(kind, file.stem, file))
    for entry in entry_points(group=f"robench.{kind}"):
        _add(found, Source(kind, entry.name, entry))
    return dict(sorted(found.items()))


def get(kind: Kind, name: str) -> Source:
    """The plugin called ``name``; an error with a hint when there is none."""
    found = find(kind)
    return found[names.known(NOUNS[kind], name, found, PluginError)]


def name_of(kind: Kind, thing: object) -> str:
    """The name of the plugin in which an object's class is written.

    Raises:
        PluginError: it is in none, or in a file that several share.
    """
    module = type(thing).__module__
    if loading.is_loaded_here(module):
        name = module.rpartition(".")[2]
    else:
        entries = entry_points(group=f"robench.{kind}")
        name = next((entry.name for entry in entries if entry.module == module), "")
    if not name or name.startswith("_"):
        what = f"{type(thing).__name__} of {module}"
        raise PluginError(f"{what} is no {NOUNS[kind]} of its own: its class is in no plugin file")
    return name


@contextmanager
def blamed(kind: Kind, name: str) -> Iterator[None]:
    """Name the file when a plugin's own code fails before anything runs.

    Raises:
        PluginError: it did.
    """
    try:
        yield
    except RobenchError:
        raise
    except (Exception, SystemExit) as error:
        who = f"{NOUNS[kind]} {name!r} ({_place(get(kind, name).origin)})"
        raise PluginError(f"{who} fails: {type(error).__name__}: {error}") from error


def folders(kind: Kind) -> list[Path]:
    """Folders searched: the current directory's, then the one shipped with robench."""
    package = Path(__file__).parent
    shipped = package / kind if (package / kind).is_dir() else package.parent / kind
    if (package.parent / "pyproject.toml").is_file():
        shipped = package.parent / kind  # a checkout: an editable install leaves stale copies
    candidates = ((Path.cwd() / kind).resolve(), shipped.resolve())
    return [path for path in dict.fromkeys(candidates) if path.is_dir()]


def _add(found: dict[str, Source], source: Source) -> None:
    known = found.get(source.name)
    if known is None:
        found[source.name] = source
    elif _identity(known) != _identity(source):
        found[source.name] = Source(source.kind, source.name, known.origin, source.origin)


def _identity(source: Source) -> object:
    """Equal for two copies of one plugin, as when a wheel's user stands in a checkout."""
    if isinstance(source.origin, EntryPoint):
        return source.origin.value
    return source.origin.read_bytes() if source.origin.is_file() else source.origin


def _place(origin: Path | EntryPoint) -> str:
    return str(origin) if isinstance(origin, Path) else f"entry point {origin.value}"


def _is_ours() -> Callable[[str], bool]:
    """Tells modules of a plugin folder, or of a package that brings plugins."""
    entries = [entry for kind in KINDS for entry in entry_points(group=f"robench.{kind}")]
    tops = {entry.module.partition(".")[0] for entry in entries}
    return lambda name: loading.is_loaded_here(name) or name.partition(".")[0] in tops


def is_there(module: str) -> bool:
    """Whether a module can be imported; its parents are, to find out."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is not there; or __main__, which has no spec
        return module in sys.modules
