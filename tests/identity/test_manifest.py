"""Sealed folders: the same content has the same digest anywhere; one changed byte is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import manifest


def fill(folder: Path) -> manifest.Manifest:
    (folder / "inner").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"one")
    (folder / "inner" / "b.bin").write_bytes(b"two")
    return manifest.seal(folder, "raw", {"counts": {"train": 2}})


def test_the_digest_does_not_depend_on_place_or_time(tmp_path: Path) -> None:
    first = fill(tmp_path / "first")
    second = fill(tmp_path / "elsewhere" / "second")
    os.utime(tmp_path / "elsewhere" / "second" / "a.bin", (0, 0))
    assert first.digest == second.digest
    assert manifest.verify(tmp_path / "first", "raw") == first


def test_facts_and_content_both_change_the_digest(tmp_path: Path) -> None:
    first = fill(tmp_path / "first")
    (tmp_path / "first" / "a.bin").write_bytes(b"One")
    assert manifest.seal(tmp_path / "first", "raw", first.facts).digest != first.digest
    fill(tmp_path / "second")
    assert manifest.seal(tmp_path / "second", "raw", {"counts": {"train": 3}}).digest != first.digest


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "a.bin").write_bytes(b"onE"), "a.bin"),
        (lambda folder: (folder / "inner" / "b.bin").unlink(), "b.bin"),
        (lambda folder: (folder / "extra").write_bytes(b""), "extra"),
        (
            lambda folder: (folder / "manifest.json").write_text(
                (folder / "manifest.json").read_text().replace('"train": 2', '"train": 1')
            ),
            "manifest.json",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json"),
    ],
)
def test_damage_is_named(damage: object, named: str, tmp_path: Path) -> None:
    fill(tmp_path / "x")
    assert callable(damage)
    damage(tmp_path / "x")
    with pytest.raises(CorruptArtifactError) as caught:
        manifest.verify(tmp_path / "x", "raw")
    assert caught.value.where is not None
    assert caught.value.where.endswith(named)


def test_another_kind_and_no_manifest_are_told_apart(tmp_path: Path) -> None:
    fill(tmp_path / "x")
    with pytest.raises(CorruptArtifactError, match="another kind"):
        manifest.load(tmp_path / "x", "package")
    with pytest.raises(NotFoundError):
        manifest.load(tmp_path, "raw")


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic.folder(target) as fresh:
        (fresh / "old").touch()

    def fail() -> None:
        with atomic.folder(target) as fresh:
            (fresh / "new").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_writer_leaves_the_old_one_and_its_rest_is_cleared(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic.folder(target) as fresh:
        (fresh / "old").touch()
    script = (
        "import os, signal, pathlib, sys\nfrom components.core import atomic\n"
        "with atomic.folder(pathlib.Path(sys.argv[1])) as fresh:\n"
        "    (fresh / 'new').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(target)], check=False).returncode == -9
    assert [path.name for path in target.iterdir()] == ["old"]
    assert len(list(tmp_path.iterdir())) == 2
    target.rename(tmp_path / ".out.old")  # as if killed between the two renames
    with atomic.folder(target) as fresh:
        assert [path.name for path in target.iterdir()] == ["old"]
        (fresh / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
