"""Whole files or none, digests, locks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import StoreError
from robench.store import files

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cell.json"
    files.write(path, b"old")

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    monkeypatch.setattr(files, "WAITS", (0.0, 0.0))
    with pytest.raises(StoreError, match=r"cannot write .*cell.json: No space left on device"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["cell.json"]


@given(st.dictionaries(st.text(), plain))
def test_json_comes_back_and_its_digest_ignores_order(content: dict[str, object]) -> None:
    import json

    turned = dict(reversed(list(content.items())))
    assert files.digest(content) == files.digest(turned)
    assert files.digest(content) == files.digest(json.loads(json.dumps(content)))
    assert files.digest({**content, "x": object.__name__ + "!"}) != files.digest(content)


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 1} x'])
def test_torn_and_foreign_files_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"cell\.json"):
        files.read_json(tmp_path / "cell.json")
