"""Signatures of folders: what was signed verifies; each way of not being signed is told apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.errors import SignatureError, UsageError
from components.core.project import Project
from components.packaging import signature
from components.packaging.bundle import SIGNATURE, Bundle
from flows.pipelines import signing
from tests.packaging import keys
from tests.packaging.test_bundle_store import build

pytestmark = pytest.mark.slow  # the library takes a second to import


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "inner").mkdir(parents=True)
    (made / "inner" / "model.onnx").write_bytes(b"weights")
    (made / ".gitignore").write_text("x")
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "x.pyc").write_bytes(b"1")
    return made


def test_each_way_of_not_being_signed_is_told_apart(folder: Path, tmp_path: Path) -> None:
    private, public = keys.pair(tmp_path)
    other, other_public = keys.pair(tmp_path, "other")
    file = tmp_path / "folder.sig"
    with pytest.raises(SignatureError, match=r"^not signed") as caught:
        signature.verify(folder, file, public)
    assert "folder.sig" in str(caught.value.expected)
    signature.sign(folder, file, private)
    (folder / "__pycache__" / "x.pyc").write_bytes(b"2")
    assert signature.verify(folder, file, public) == signature.key_fingerprint(public)
    with pytest.raises(SignatureError, match=r"^signed with another key"):
        signature.verify(folder, file, other_public)
    # Made with another key, and naming ours.
    signature.sign(folder, tmp_path / "forged.sig", other)
    forged = json.loads((tmp_path / "forged.sig").read_text())
    forged["verificationMaterial"]["publicKey"]["hint"] = signature.key_fingerprint(public)
    (tmp_path / "forged.sig").write_text(json.dumps(forged))
    with pytest.raises(SignatureError, match="not made with the key that it names"):
        signature.verify(folder, tmp_path / "forged.sig", public)
    for name in ("inner/model.onnx", ".gitignore"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + b"?")
        with pytest.raises(SignatureError, match=r"^a file is not the one that was signed") as caught:
            signature.verify(folder, file, public)
        assert name in str(caught.value.got)
        (folder / name).write_bytes(content)
    (folder / "inner" / "model.onnx").unlink()
    with pytest.raises(SignatureError, match="missing"):
        signature.verify(folder, file, public)
    for text in ("no json", "{}", "[]", '{"verificationMaterial": {"publicKey": {"hint": "x"}}}'):
        file.write_text(text)
        with pytest.raises(SignatureError, match=r"cannot be read|another key"):
            signature.verify(folder, file, public)


def test_keys_that_cannot_be_used_are_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none.pem").write_text("no key")
    for key in (tmp_path / "none.pem", tmp_path / "absent.pem"):
        with pytest.raises(UsageError, match="key") as caught:
            signature.sign(folder, tmp_path / "x.sig", key)
        assert str(key) in str(caught.value.where)
        with pytest.raises(UsageError, match="key"):
            signature.verify(folder, tmp_path / "x.sig", key)
    private, public = keys.pair(tmp_path, "locked", b"secret")
    for password in (None, "wrong"):
        if password:
            monkeypatch.setenv(signature.PASSWORD, password)
        with pytest.raises(UsageError, match="cannot sign") as caught:
            signature.sign(folder, tmp_path / "x.sig", private)
        assert signature.PASSWORD in str(caught.value.expected)
    monkeypatch.setenv(signature.PASSWORD, "secret")
    signature.sign(folder, tmp_path / "x.sig", private)
    signature.verify(folder, tmp_path / "x.sig", public)
    assert [path.name for path in tmp_path.glob(".x.sig*")] == []


def test_the_librarys_own_program_verifies_it(folder: Path, tmp_path: Path) -> None:
    private, public = keys.pair(tmp_path)
    (folder / ".gitignore").unlink()
    signature.sign(folder, tmp_path / "x.sig", private)
    words = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    words += ["--signature", str(tmp_path / "x.sig"), "--public_key", str(public)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONWARNINGS": ""})
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_project_signs_what_it_builds_and_refuses_what_is_not_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    private, public = keys.pair(tmp_path)
    _, other = keys.pair(tmp_path, "other")
    bundle, log = Bundle(project.bundles, "sample", "a" * 64), list[str]()
    build(bundle)
    signing.require(project, bundle)
    assert signing.ensure_signed(project, bundle, log.append) is None
    monkeypatch.setenv(signing.REQUIRED, str(public))
    with pytest.raises(SignatureError, match=r"^not signed"):
        signing.require(project, bundle)
    (tmp_path / "modelyard.toml").write_text(f'[signing]\nkey = "{private.name}"\n')
    signing.ensure_signed(project, bundle, log.append)
    first = (bundle.folder / SIGNATURE).read_bytes()
    signing.ensure_signed(project, bundle, log.append)
    assert (bundle.folder / SIGNATURE).read_bytes() == first
    assert len(log) == 1
    signing.require(project, bundle)
    assert bundle.exists()
    bundle.verify()
    monkeypatch.setenv(signing.REQUIRED, str(other))
    with pytest.raises(SignatureError, match="another key"):
        signing.require(project, bundle)
    monkeypatch.delenv(signing.REQUIRED)
    (tmp_path / "modelyard.toml").write_text(f'[signing]\nrequire = "{other.name}"\n')
    with pytest.raises(SignatureError, match="another key"):
        signing.require(project, bundle)
    # The signature is no part of what is sealed: the bundle stays the one that it was.
    build(bundle)
    assert (bundle.folder / SIGNATURE).read_bytes() == first
