"""Every fault that was found once, as the smallest example of it; none may come back."""

from typing import Any

from tests.fuzz.arrays import Outcomes, Weights
from tests.fuzz.commands import Config, Line
from tests.fuzz.mutations import Cut, Edit, Patch, deep
from tests.fuzz.places import Curve, Strange
from tests.fuzz.plugin_files import Plugin
from tests.fuzz.records import KINDS, Record

_CELL, _QUICK, _DETECT = KINDS
_PLAN = ("run", "--plan", "-m", "natural")
_TITLE = "\x1b]0;title\x07"
"""What a terminal takes for its window's title."""

_MANY = ",".join(["1"] * 30)


def _cell(*where: str | int, value: Any, **more: Any) -> Record:
    return Record(_CELL, (Edit(where, "set", value),), **more)


def _evaluation(*where: str | int, value: Any, **more: Any) -> Record:
    return Record(_QUICK, (Edit(where, "set", value),), **more)


def _failed(reason: str) -> tuple[Edit, ...]:
    return Edit(("status",), "set", "failed"), Edit(("reason",), "set", reason)


FOUND: dict[str, tuple[str, Any]] = {
    # Numbers that Python does not convert, or not to what was wanted.
    "a radius of 5000 digits": ("lines", Line((*_PLAN, "--eps", "9" * 5000))),
    "a radius that no float holds": ("lines", Line((*_PLAN, "--norm", "L2", "--eps", "9" * 400))),
    "a fraction of 5000 digits": ("lines", Line((*_PLAN, "--eps", "1/" + "9" * 5000))),
    "a seed of 5000 digits": ("lines", Line((*_PLAN, "--seeds", "9" * 5000))),
    "a setting over 5000 digits": ("lines", Line((*_PLAN, "--set", "recipe.lr=1/" + "9" * 5000))),
    "a setting over 400 digits": ("lines", Line((*_PLAN, "--set", "recipe.lr=1/" + "9" * 400))),
    # Small commands that stand for more than any computer can hold.
    "brackets of 30 to the sixth": (
        "lines",
        Line(("run", "--plan", "-m", f"trades[{','.join(f'{s}={_MANY}' for s in 'abcdef')}]")),
    ),
    # Characters that a terminal obeys, or that no file can hold.
    "a folder whose name is no text": ("lines", Line((*_PLAN, "--results", "a\udcff"))),
    "a folder with a zero in its name": ("lines", Line(("report", "a\0b"))),
    "a grid file with a zero in its name": ("lines", Line((*_PLAN, "--config", "\0"))),
    "a checkpoint with a zero in its name": ("lines", Line(("import-checkpoint", "\0"))),
    "a folder with an escape in its name": ("lines", Line((*_PLAN, "--results", _TITLE))),
    "a warning that quotes an escape": (
        "plugins",
        Plugin(kind="methods", name="mine", doc="\\\x1f", command="list"),
    ),
    # Grid files.
    "lists of lists": ("configs", Config(cuts=(Cut(0, 0, "eps = " + "[" * 2000 + "\n"),))),
    "tables of tables": (
        "configs",
        Config((Edit(("set",), "drop"),), (Cut(0, 0, "set." + "a." * 2000 + "b = 1\n"),)),
    ),
    "claims in lists of lists": ("claims", Config(cuts=(Cut(0, 0, "x = " + "[" * 2000 + "\n"),))),
    "a claim with an escape": ("claims", Config((Edit(("claim", 0, "says"), "set", _TITLE),))),
    # Records.
    "a number that is none": ("records", _cell("seconds", value=float("nan"), sealed=False)),
    "a number without end": ("records", _cell("seconds", value=float("inf"), sealed=False)),
    "lists of lists in a record": (
        "records",
        Record(_CELL, patches=(Patch(0, "put", b"[" * 3000),)),
    ),
    "half a character": ("records", _cell("label", value="natural[x=\ud800]")),
    "an escape in a label": ("records", _cell("label", value=f"natural[{_TITLE}]")),
    "more passes than an int holds": ("records", _cell("backwards", value=2**63)),
    "no identity": ("records", _cell("identity", value=None)),
    "a reason with an escape": (
        "records",
        Record(_CELL, _failed(_TITLE), command="status"),
    ),
    "a key that is a number": ("records", _cell("key", value=3)),
    "no checkpoints": ("records", _cell("checkpoints", value={})),
    "a radius that is none": ("records", _evaluation("identity", "eps", value="x")),
    "another checkpoint": ("records", _evaluation("identity", "checkpoint", value="middle")),
    "an unknown verdict": ("records", _evaluation("verdict", value="sure")),
    "no images": ("records", _evaluation("n", value=0)),
    "more images than there are": ("records", _evaluation("stands", "natural", value=10**6)),
    "an attack that has no name": ("records", _evaluation("order", value=["natural", "x"])),
    "an attack that cost nothing": ("records", _evaluation("costs", value={})),
    "a finding that is text": ("records", _evaluation("findings", "gap", value="x")),
    "troubles that are none": ("records", _cell("troubles", value=[3])),
    "a data set in another folder": (
        "records",
        _cell("identity", "dataset", value="../../../x", keyed=True),
    ),
    "formulas in a label": ("records", _cell("label", value="natural[x=$\\frac$]")),
    "values that are text": (
        "records",
        Record(_DETECT, (Edit(("measures", "density", "values", 0, "value"), "set", "x"),)),
    ),
    "a curve that is not there": (
        "records",
        Record(_DETECT, (Edit(("measures", "density", "curves", "x"), "set", {"x": "", "y": ""}),)),
    ),
    # Curves of training.
    "words for numbers": ("curves", Curve(((1, 9, "x"),))),
    "half an epoch": ("curves", Curve(((1, 0, "1.5"),))),
    "epochs without end": ("curves", Curve(((1, 0, "9" * 30),))),
    "a quantity that is called value": ("curves", Curve(((0, 9, "value"),))),
    "a row that is too long": ("curves", Curve(((1, 9, "1,2,3"),))),
    # Things that are no files.
    "a pipe for a record": ("strange", Strange("cells/CELL/cell.json", "pipe")),
    "a pipe for an evaluation": ("strange", Strange("cells/CELL/eval/EVAL.json", "pipe")),
    "a device for a list of cells": (
        "strange",
        Strange("grids/other.json", "device", command="status"),
    ),
    "a folder whose bytes are no text": (
        "strange",
        Strange("cells/\udcff/cell.json", "file", b"{}"),
    ),
    "lists of lists for cells": (
        "strange",
        Strange("grids/other.json", "file", b"[" * 3000, "status"),
    ),
    "a pipe for a plugin": ("plugins", Plugin(form="pipe")),
    "no end to a plugin": ("plugins", Plugin(form="device")),
    # Outcomes.
    "outcomes of half the images": (
        "outcomes",
        Outcomes(
            _QUICK, (("y", "half"), ("origin", "half"), ("carried", "half"), ("stands", "half"))
        ),
    ),
    "an attack's outcomes are gone": ("outcomes", Outcomes(_QUICK, (("stands.pgd", "gone"),))),
    "labels in a square": ("outcomes", Outcomes(_QUICK, (("y", "square"), ("origin", "square")))),
    "curves as text": ("outcomes", Outcomes(_DETECT, (("measured.curve", "text"),))),
    "curves are gone": ("outcomes", Outcomes(_DETECT, (("measured.curve", "gone"),))),
    "a curve that is longer": (
        "outcomes",
        Outcomes(_DETECT, (("measured.curve.density.ROC natural-attacked, 1 eps.x", "longer"),)),
    ),
    # Weights.
    "no weights of that type": (
        "weights",
        Weights(record=(Edit(("identity", "settings"), "set", deep(300)),)),
    ),
    "a data set of that name": (
        "weights",
        Weights(record=(Edit(("identity", "dataset"), "set", 3),)),
    ),
    # Plugins.
    "an escape in a docstring": ("plugins", Plugin(doc=_TITLE)),
    "text from right to left": ("plugins", Plugin(doc="\u202e\u05d0")),
    "an error with an escape": (
        "plugins",
        Plugin(line="raise ValueError('\\x1b]0;x\\x07\\ud800')", command="show"),
    ),
    "minus minus minus": ("plugins", Plugin(line="x = " + "-" * 9000 + "1")),
    "a name that is an escape": ("plugins", Plugin(name="\x1b]0;x")),
    "a name whose bytes are no text": ("plugins", Plugin(name="\udcff")),
}
"""By what is wrong: the target, and the example."""
