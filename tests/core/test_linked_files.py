"""Files below a folder, through links."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core import linked_files
from components.identity import digest
from components.ingestion import mirror
from components.training import pretrained


def _mirror(tmp_path: Path) -> Path:
    """A mirror that links to a folder elsewhere, and to itself."""
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "disk" / "deep" / "weights.pth").write_bytes(b"weights")
    root = tmp_path / "mirror"
    root.mkdir()
    (root / "plain.txt").write_text("plain")
    (root / "models").symlink_to(tmp_path / "disk", target_is_directory=True)
    (root / "again").symlink_to(root, target_is_directory=True)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    return root


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    root = _mirror(tmp_path)
    found = [path.relative_to(root).as_posix() for path in linked_files.files(root)]
    assert found == ["plain.txt", "models/deep/weights.pth"]


def test_a_source_and_weights_are_found_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _mirror(tmp_path)
    monkeypatch.setenv("MODELYARD_MIRROR", str(root))
    expected = root / "models" / "deep" / "weights.pth"
    sha256 = digest.of_file(expected)
    assert mirror.find(sha256, "weights.pth", tmp_path / "cache.json") == expected
    assert pretrained.find("file:far/weights.pth").path == expected
