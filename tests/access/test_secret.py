"""The secret's file, and how clients send what is in it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from components.access import secret as secrets
from components.core.errors import StackError


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_reads_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        first = secrets.create(tmp_path / "stack" / "secret")
    finally:
        os.umask(before)
    path = tmp_path / "stack" / "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert secrets.read(path) == first
    assert len(first) >= 43
    assert secrets.create(path) != first
    assert os.listdir(path.parent) == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_one_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    secrets.create(tmp_path / "secret")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(StackError, match="others can read") as refused:
        secrets.read(tmp_path / "secret")
    assert "modelyard up" in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_of_another_user_is_refused(tmp_path: Path) -> None:
    secrets.create(tmp_path / "secret")
    os.chown(tmp_path / "secret", 65534, 65534)
    with pytest.raises(StackError, match="another user"):
        secrets.read(tmp_path / "secret")


def test_none_and_an_empty_one(tmp_path: Path) -> None:
    assert secrets.read(tmp_path / "secret") is None
    (tmp_path / "secret").touch(0o600)
    assert secrets.read(tmp_path / "secret") is None


def test_credentials_in_a_header() -> None:
    sent = secrets.Credentials("Ada L\u00f6velace", "x-_9")
    assert secrets.from_header(sent.header) == sent
    assert secrets.from_header("bEARER x-_9") == secrets.Credentials("", "x-_9")
    assert secrets.from_header("BASIC " + base64.b64encode(b"a:b:c").decode()) == secrets.Credentials("a:b", "c")
    for nothing in ("", "Basic \u00ef", "Basic a", "Digest x", "Basic /w=="):
        assert secrets.from_header(nothing) is None


@pytest.mark.parametrize("given", ["", "x", "gehe\u00efm", "\ud800", "\0", "secret ", "SECRET"])
def test_comparison_takes_any_text(given: str) -> None:
    assert not secrets.matches(given, "secret")
    assert secrets.matches(given, given)
    assert secrets.sign("secret", "a", given) != secrets.sign("secret", "b", given)
