"""Outcomes, images and weights: other arrays, under the SHA-256 that their records say."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from hypothesis import strategies as st
from safetensors import safe_open

from robench.evaluation.examples import ABOUT, ARRAYS, beside
from tests.fuzz.mutations import (
    Edit,
    Patch,
    Where,
    as_json,
    edited,
    edits,
    odd_values,
    patched,
    patches,
    places,
)  # fmt: skip
from tests.fuzz.records import COMMANDS, KINDS, at, check_table, rewrite, valid_records
from tests.fuzz.sandbox import LOCAL, base, call, judged, sandbox


@dataclass(frozen=True)
class Outcomes:
    """An .npz whose SHA-256 stands in its record: arrays changed, then bytes."""

    kind: str
    arrays: tuple[tuple[str, str], ...] = ()
    """How the names of some arrays begin, and what becomes of them."""
    patches: tuple[Patch, ...] = ()


_ARRAYS: dict[str, Callable[[Any], Any] | None] = {
    "gone": None,
    "empty": lambda a: a[:0],
    "half": lambda a: a[: len(a) // 2],
    "longer": lambda a: np.concatenate([a, a]),
    "square": lambda a: np.stack([a, a]),
    "scalar": lambda a: a.reshape(-1)[:1].reshape(()),
    "text": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S3"),
    "float": lambda a: a.astype(float) + 0.5,
    "nan": lambda a: np.full(a.shape, np.nan),
    "inf": lambda a: np.full(a.shape, np.inf),
    "complex": lambda a: a.astype(complex),
    "bool": lambda a: a.astype(bool),
    "huge": lambda a: np.full(a.shape, 2**63, np.uint64),
    "negative": lambda a: np.full(a.shape, -1),
    "dates": lambda a: a.astype("datetime64[s]"),
    "record": lambda a: np.zeros(a.shape, [("a", int)]),
    "objects": lambda a: a.astype(object),
    "zeros": np.zeros_like,
}


_NAMES = (
    "y", "origin", "carried", "stands", "stands.natural", "stands.pgd-20-margin", "measured",
    "measured.image", "measured.curve", "measured.curve.density.ROC natural-attacked, 1 eps.x",
)  # fmt: skip


def outcomes() -> st.SearchStrategy[Outcomes]:
    """Arrays of other types and shapes."""
    change = st.tuples(st.sampled_from(_NAMES), st.sampled_from(sorted(_ARRAYS)))
    return st.builds(
        Outcomes,
        st.sampled_from(KINDS[1:]),
        st.lists(change, max_size=3).map(tuple),
        patches() | st.just(()),
    )


def try_outcomes(outcome: Outcomes) -> int:
    """Report on them, with a claim that compares them image by image."""
    with sandbox():
        record, claims = at(outcome.kind), {"says": "x", "source": "y", "method": "madry"}
        path = record.with_suffix(".npz")
        with np.load(path) as file:
            arrays = dict(file)
        for begins, how in outcome.arrays:
            for name in [name for name in arrays if name.startswith(begins)]:
                _change(arrays, name, how)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        data = patched(buffer.getvalue(), outcome.patches)
        path.write_bytes(data)
        content = json.loads(record.read_bytes()) | {"outcomes": hashlib.sha256(data).hexdigest()}
        rewrite(record, content, keyed=False)
        lines = [f'{name} = "{value}"' for name, value in claims.items()]
        (LOCAL / "grid.toml").write_text("\n".join(["[[claim]]", *lines, 'against = ["natural"]']))
        code = judged(call("report"))
        check_table()
        return code


def _change(arrays: dict[str, Any], name: str, how: str) -> None:
    change = _ARRAYS[how]
    if change is None:
        del arrays[name]
        return
    with suppress(ValueError, TypeError), np.errstate(all="ignore"):
        arrays[name] = change(arrays[name])


@dataclass(frozen=True)
class Images:
    """Saved images whose SHA-256 stands in their record: arrays and header changed, then bytes."""

    arrays: tuple[tuple[str, str], ...] = ()
    """Names of some arrays, and what becomes of them."""
    about: tuple[Edit, ...] = ()
    """Changes of what is no array."""
    patches: tuple[Patch, ...] = ()


def images() -> st.SearchStrategy[Images]:
    """Images of other shapes, values and attacks."""
    change = st.tuples(st.sampled_from(ARRAYS), st.sampled_from(sorted(_ARRAYS)))
    return st.builds(
        Images,
        st.lists(change, max_size=3).map(tuple),
        st.deferred(lambda: edits(_about())) | st.just(()),
        patches() | st.just(()),
    )


@cache
def _about() -> Any:
    with safe_open(beside(_shown(base())), framework="numpy") as file:
        return json.loads(file.metadata()[ABOUT])


def _shown(place: Path) -> Path:
    """The record of an evaluation that kept images, some of which fell."""
    return sorted((place / LOCAL).glob("cells/natural-*/eval/best-quick-Linf-3_16-*.json"))[0]


def try_images(of: Images) -> int:
    """Report on them, gallery and all."""
    with sandbox() as place:
        record = _shown(place)
        path = beside(record)
        arrays = dict(safetensors.numpy.load_file(path))
        for name, how in of.arrays:
            if name in arrays:
                _change(arrays, name, how)
        about = as_json(edited(_about(), of.about)).decode("utf-8", "replace")
        kept = {n: np.ascontiguousarray(a) for n, a in arrays.items() if a.dtype.kind in "biuf"}
        data = patched(safetensors.numpy.save(kept, {ABOUT: about}), of.patches)
        path.write_bytes(data)
        content = json.loads(record.read_bytes())
        content["images"]["sha256"] = hashlib.sha256(data).hexdigest()
        rewrite(record, content, keyed=False)
        return judged(call("report"))


@dataclass(frozen=True)
class Weights:
    """A checkpoint whose SHA-256 stands in its record: header changed, then bytes."""

    header: tuple[Edit, ...] = ()
    patches: tuple[Patch, ...] = ()
    record: tuple[Edit, ...] = ()
    """Changes of the cell's record."""


@cache
def _header() -> Any:
    path = sorted((base() / LOCAL / "cells").glob("natural-*/best.safetensors"))[0]
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def weights() -> st.SearchStrategy[Weights]:
    """Headers that say something else than what follows."""
    return st.builds(
        Weights,
        st.deferred(lambda: edits(_header())) | st.just(()),
        patches() | st.just(()),
        st.deferred(lambda: _of_identity()) | st.just(()) | st.just(()),
    )


def _of_identity() -> st.SearchStrategy[tuple[Edit, ...]]:
    known: Sequence[Where] = [
        ("identity", *where) for where in places(valid_records()["cell.json"]["identity"]) if where
    ]
    edit = st.builds(Edit, st.sampled_from(known), st.sampled_from(["set", "drop"]), odd_values())
    return st.lists(edit, min_size=1, max_size=2).map(tuple)


def try_weights(of: Weights) -> int:
    """Open the cell again and audit it."""
    with sandbox():
        record = at("cell.json")
        path = record.with_name("best.safetensors")
        data = path.read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        if of.header:
            header = as_json(edited(json.loads(data[8:end]), of.header))
            data = len(header).to_bytes(8, "little") + header + data[end:]
        data = patched(data, of.patches)
        path.write_bytes(data)
        content = edited(json.loads(record.read_bytes()), of.record)
        content["checkpoints"]["best"]["sha256"] = hashlib.sha256(data).hexdigest()
        rewrite(record, content, keyed=True)
        for other in (LOCAL / "cells").glob("madry-*/best.safetensors"):
            other.unlink()
        return judged(call(*COMMANDS["audit"]))
