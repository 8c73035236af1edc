"""API keys: made once, kept as digests, revoked, and read again when their file changes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.access import api_keys
from components.core.errors import NotFoundError, ServingError, UsageError
from flows.cli import shell
from flows.cli.interruption import Interruption


def test_a_key_is_nowhere_but_its_digest_is(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "digits.jsonl"
    one, other = api_keys.add(path, "app", "predict"), api_keys.add(path, "ops", "admin")
    assert one != other
    assert one.startswith(api_keys.PREFIX)
    text = path.read_text()
    assert one not in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["sha256"] for line in text.splitlines()] == [
        hashlib.sha256(key.encode()).hexdigest() for key in (one, other)
    ]
    keys = api_keys.KeyFile(path)
    assert [(found.name, found.scope) for key in (one, other) if (found := keys.find(key))] == [
        ("app", "predict"), ("ops", "admin"),
    ]  # fmt: skip
    for wrong in ("", one[:-1], one + "a", hashlib.sha256(one.encode()).hexdigest(), "ü" * 1000, "\udcff", "\0"):
        assert keys.find(wrong) is None


def test_a_running_service_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "CHECK_SECONDS", 0.0)
    path = tmp_path / "keys.jsonl"
    keys = api_keys.KeyFile(path)
    assert not keys.has_keys
    key = api_keys.add(path, "app", "predict")
    assert keys.find(key)
    api_keys.revoke(path, "app")
    assert keys.find(key) is None
    assert keys.has_keys  # revoked keys open nothing, and the service stays closed
    again = api_keys.add(path, "app", "predict")
    assert keys.find(again)
    path.write_text(path.read_text() + "no key\n")
    assert keys.find(again)
    assert "line 3" in str(keys.error)
    path.unlink()
    assert keys.find(again) is None
    assert keys.has_keys  # a removed file opens no service
    path.write_text("")
    assert keys.has_keys  # nor does one that an editor has just emptied
    assert keys.find(again) is None
    assert keys.find(api_keys.add(path, "other", "predict"))


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"name": "a"}',
        json.dumps({"name": "a", "scope": "all", "sha256": "a" * 64}),
        json.dumps({"name": "a/b", "scope": "admin", "sha256": "a" * 64}),
    ],
)
def test_a_line_that_is_no_key_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ServingError, match="no API key") as caught:
        api_keys.KeyFile(path)
    assert caught.value.where == f"{path} line 2"


def test_what_cannot_be_added_or_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    api_keys.add(path, "app", "predict")
    for name in ("", "a b", "a\nb", "ü", "-a", "a" * 65):
        with pytest.raises(UsageError, match="no name"):
            api_keys.add(path, name, "predict")
    with pytest.raises(UsageError, match="of this name"):
        api_keys.add(path, "app", "admin")
    with pytest.raises(NotFoundError):
        api_keys.revoke(path, "other")
    with pytest.raises(ServingError, match="cannot be written"):
        api_keys.add(Path("/proc/keys/keys.jsonl"), "app", "predict")
    with pytest.raises(ServingError, match="cannot be read"):
        api_keys.read(tmp_path)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> tuple[int, str]:
        with Interruption() as interruption:
            code = shell.main(["keys", *words], interruption)
        return code, capsys.readouterr().out

    file = str(tmp_path / "keys.jsonl")
    code, out = run("add", file, "app")
    key = out.strip()
    assert (code, api_keys.KeyFile(Path(file)).find(key)) == (0, api_keys.read(Path(file))[0])
    assert run("add", file, "ops", "--scope", "admin", "--json")[0] == 0
    assert run("add", file, "app")[0] == 2
    code, out = run("list", file)
    assert (code, key in out, "app" in out, "admin" in out) == (0, False, True, True)
    assert run("revoke", file, "app")[0] == 0
    assert run("revoke", file, "app")[0] == 2
    assert [(one["name"], "revoked" in one) for one in json.loads(run("list", file, "--json")[1])] == [
        ("app", True), ("ops", False),
    ]  # fmt: skip
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert run("list", "nothing")[0] == 2


def test_a_bundle_makes_keys_without_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    command = [sys.executable, "-m", "components.access.api_keys", str(path), "app", "admin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = api_keys.KeyFile(path).find(done.stdout.strip())
    assert found is not None
    assert found.scope == "admin"
    assert api_keys.main([str(path)]) == 2
    assert api_keys.main([str(path), "app"]) == 1


def test_looking_up_takes_no_measurable_time(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    key = api_keys.add(path, "app", "predict")
    keys = api_keys.KeyFile(path)
    begin = time.perf_counter()
    for _ in range(1000):
        keys.find(key)
    assert (time.perf_counter() - begin) / 1000 < 100e-6  # about 3 microseconds
