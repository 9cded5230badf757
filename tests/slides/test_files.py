"""Laws of writing: the whole content or the old one, no temporary file left, the permissions one expects."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slides import files
from slides.files import sha256_of, write_atomically


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@given(content=st.binary(max_size=4096) | st.text(max_size=400))
def test_the_file_holds_the_content(tmp_path_factory: pytest.TempPathFactory, content: bytes | str) -> None:
    path = tmp_path_factory.getbasetemp() / "a name, größer.md"
    write_atomically(path, content)
    expected = content.encode("utf-8") if isinstance(content, str) else content
    assert path.read_bytes() == expected
    assert sha256_of(path) == hashlib.sha256(expected).hexdigest()


def test_a_file_of_that_name_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    for content in ("a longer first content", "second"):
        write_atomically(path, content)
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_when_writing_fails_the_old_content_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "card.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        assert path.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 2
        raise error

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_that_is_no_utf8_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_umask_decides_who_may_read(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "shared"
    write_atomically(path, "content")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
