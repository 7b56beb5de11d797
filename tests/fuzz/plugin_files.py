"""Plugin files: docstrings, names, bytes."""

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from robench.plugins import folders
from tests.fuzz.mutations import Cut, Patch, cuts, odd_texts, patched, patches, texts
from tests.fuzz.sandbox import Fault, call, judged, put, sandbox

BODY = '''
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
import torch.nn.functional as F

from robench.training.method import Adversarial


@dataclass(frozen=True, kw_only=True)
class Mine(Adversarial):
    """Reduces to: nothing."""

    weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Share of something."""

    def loss(self, model, batch, x_adv, run):
        return F.cross_entropy(model(x_adv), batch.y)


presets = {"*": Mine()}
'''

SUITE = """
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite

suite = Suite({"pgd-2": PGDAttack(pgd=PGD(steps=2))})
"""

BODIES = {"methods": BODY, "attacks": SUITE}

LINES = (
    "import no_such_package", "from . import nothing", "from .mine import Mine",
    "raise SystemExit(3)", "raise RecursionError", "1 / 0", "presets = {}", "presets = None",
    "presets = {'*': 3}", "suite = 3", "suite = Suite({})", "suite = Suite({'\\x1b[31m': 3})",
    "del presets", "raise ValueError('\\x1b[31m\\ud800')", "x = " + "(" * 150 + ")" * 150,
    "x = " + "-" * 9000 + "1", "presets = {'*': Mine(weight='x')}",
    "presets = {'*': Mine(weight=7)}", "presets = {3: Mine()}", "raise KeyboardInterrupt",
    "class Mine: pass", "__file__ = None", "import robench.nothing", "from .... import x",
    "from __future__ import nothing", "# -*- coding: nothing -*-",
)  # fmt: skip
"""Put at the end of a file."""


@dataclass(frozen=True)
class Plugin:
    """A file of the current folder's ``methods`` or ``attacks``."""

    kind: str = "methods"
    name: str = "mine"
    doc: str | None = "Mine: does something (nobody, nowhere)."
    more: str = ""
    """Further lines of the docstring."""
    cuts: tuple[Cut, ...] = ()
    """Of its text."""
    line: str = ""
    patches: tuple[Patch, ...] = ()
    encoding: str = "utf-8"
    form: str = "file"
    """Or ``folder``, ``pipe``, ``loop``, ``device``."""
    command: str = "list"
    """``list``, ``show``, ``check``, ``doctor`` or ``run``."""

    def content(self) -> bytes:
        """The file."""
        doc = "" if self.doc is None else f'"""{self.doc}\n\n{self.more}"""\n'
        text = doc + BODIES[self.kind] + self.line + "\n" * bool(self.line)
        for cut in self.cuts:
            text = cut.of(text)
        return patched(text.encode(self.encoding, "surrogatepass"), self.patches)


@st.composite
def plugins(draw: st.DrawFn) -> Plugin:
    """Mostly a file that is read as it is; some are cut or of other bytes."""
    doc = texts(("Mine: does something (nobody, nowhere).",)) | st.none()
    torn = draw(st.integers(0, 3)) == 0
    command = draw(st.sampled_from(["list", "show", "show", "doctor", "run", "check"]))
    return Plugin(
        draw(st.sampled_from(["methods", "attacks"])),
        draw(
            st.sampled_from(
                ["mine"] * 6 + ["natural", "my-own", "\udcff", "\x1b[31m", "\u0645", "class"]
            )
        ),
        draw(doc),
        draw(
            st.sampled_from(["", "", "x" * 100_000, "\n" * 1000, "[red]", "{0}", "\b"])
            | odd_texts()
        ),
        tuple(draw(st.lists(cuts(), max_size=2))) if torn else (),
        draw(st.just("") | st.sampled_from(LINES)),
        draw(patches()) if draw(st.integers(0, 5)) == 0 else (),
        draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-7"])),
        draw(st.sampled_from(["file"] * 20 + ["folder", "pipe", "loop", "device"])),
        command,
    )


def try_plugin(plugin: Plugin) -> int:
    """Read it, show it, check it or plan with it."""
    noun = "method" if plugin.kind == "methods" else "suite"
    run = ("-m", plugin.name) if noun == "method" else ("-m", "natural", "--suite", plugin.name)
    arguments = {
        "list": ("list",), "doctor": ("doctor",), "show": ("show", noun, plugin.name),
        "check": ("check", plugin.name), "run": ("run", "--plan", *run),
    }[plugin.command]  # fmt: skip
    with sandbox(filled=False):
        path = Path(plugin.kind, f"{plugin.name}.py")
        path.parent.mkdir()
        assert path.parent.resolve() in folders(plugin.kind)  # type: ignore[arg-type]
        put(path, plugin.form, plugin.content())
        into = Path("/tmp") if plugin.command == "check" else None
        # What a file does when it runs is its own affair: it may interrupt, or take its time.
        codes = (0, 1, 2, 130) if "KeyboardInterrupt" in plugin.line else (0, 1, 2)
        try:
            return judged(call(*arguments), codes=codes, into=into)
        except Fault as fault:
            if plugin.command == "check" and "hangs" in str(fault):
                return 130
            raise
