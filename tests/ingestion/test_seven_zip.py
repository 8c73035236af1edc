"""7z archives: good ones are read as the folder would be, bad ones are named and do no harm."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import py7zr
import pytest

from components.contracts.dataset import FolderSource
from components.core.errors import SourceError, UnsafeArchiveError
from components.drafting.recognise import recognise
from components.ingestion import archive, sources, unpacked
from components.ingestion.archive_target import ArchiveLimits
from components.ingestion.remarks import Remarks


def written(folder: Path) -> Path:
    """Two classes of five texts, an empty file, an empty folder, and what a system puts beside them."""
    for label in ("good", "bad"):
        for number in range(5):
            path = folder / label / f"{number} Größe.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{label} text {number}\n" * 50)
    (folder / "good/.DS_Store").write_bytes(b"")
    (folder / "__MACOSX").mkdir()
    return folder


def packed(path: Path, folder: Path, **options: object) -> Path:
    with py7zr.SevenZipFile(path, "w", **options) as out:  # type: ignore[arg-type]
        for member in sorted(folder.rglob("*")):
            out.write(member, str(member.relative_to(folder)))
    return path


@pytest.mark.parametrize("name", ["texts.7z", "texts.zip"])
def test_it_is_read_as_the_folder_would_be_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "texts")
    path = packed(tmp_path / name, folder)
    assert archive.is_archive(path)
    with unpacked.folder(path, "texts") as content:
        assert recognise(content).layout == recognise(folder).layout
    layout = recognise(folder).layout
    found = []
    for place in (path, folder):
        source = FolderSource.model_validate({"kind": "folder", "path": str(place), "layout": layout})
        with sources.open_source(source, tmp_path, Remarks()) as samples:
            found.append([(sample.id, sample.values) for sample in samples])
    assert found[0] == found[1]
    assert len(found[0]) == 10


@pytest.mark.parametrize("method", [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 20}, {"id": py7zr.FILTER_ZSTD}])
def test_other_methods_are_unpacked(tmp_path: Path, method: dict[str, int]) -> None:
    path = packed(tmp_path / "a.7z", written(tmp_path / "texts"), filters=[method])
    archive.unpack(path, tmp_path / "out")
    assert (tmp_path / "out/bad/3 Größe.txt").read_text() == "bad text 3\n" * 50
    assert (tmp_path / "out/good/.DS_Store").read_bytes() == b""


@pytest.mark.parametrize("hides_names", [False, True])
def test_an_encrypted_one_is_refused_in_words(tmp_path: Path, hides_names: bool) -> None:
    path = packed(tmp_path / "a.7z", written(tmp_path / "texts"), password="of a test", header_encryption=hides_names)  # noqa: S106
    with pytest.raises(SourceError, match="the archive is encrypted") as caught:
        archive.unpack(path, tmp_path / "out")
    assert "unpack it" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("name", "what"),
    [("../evil", "leads outside"), ("a/../../evil", "leads outside"), ("/tmp/evil", "leads outside"),
     ("C:/evil", "leads outside"), ("..\\evil", "leads outside"), ("same", "stands twice")],
)  # fmt: skip
def test_an_unsafe_one_is_refused(tmp_path: Path, name: str, what: str) -> None:
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as out:
        out.writestr("one", "same")
        out.writestr("two", "other")
        out.files.files_list[-1]["filename"] = name  # py7zr itself writes no such name
    with pytest.raises(UnsafeArchiveError, match=what):
        archive.unpack(tmp_path / "a.7z", tmp_path / "inner/out")
    assert list(tmp_path.rglob("evil*")) == []


def test_links_and_what_is_too_large_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "texts")
    path = packed(tmp_path / "a.7z", folder)
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        archive.unpack(path, tmp_path / "b", ArchiveLimits(files=100, unpacked_bytes=1000))
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        archive.unpack(path, tmp_path / "c", ArchiveLimits(files=5))
    (folder / "good/link.txt").symlink_to("0 Größe.txt")
    with pytest.raises(UnsafeArchiveError, match="a link in the archive"):
        archive.unpack(packed(tmp_path / "links.7z", folder), tmp_path / "d")


def test_a_damaged_one_is_named_or_read_whole(tmp_path: Path) -> None:
    folder = written(tmp_path / "texts")
    whole = packed(tmp_path / "a.7z", folder).read_bytes()
    wanted = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    drawn = random.Random(0)  # noqa: S311
    for number in range(120):
        damaged = bytearray(whole)
        if number % 3:
            damaged[drawn.randrange(6, len(whole))] ^= 1 << drawn.randrange(8)
        else:
            del damaged[drawn.randrange(6, len(whole)) :]
        path = tmp_path / f"{number}.7z"
        path.write_bytes(damaged)
        out = tmp_path / f"out{number}"
        with contextlib.suppress(SourceError, UnsafeArchiveError):
            archive.unpack(path, out)
            assert {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()} == wanted
