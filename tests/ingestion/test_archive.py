"""Archives: good ones are unpacked, bad ones do no harm."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from components.core.errors import SourceError, UnsafeArchiveError
from components.ingestion import archive
from components.ingestion.archive_target import ArchiveLimits


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]  # the mode is a variable here
        for member, content in members:
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def plain(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_unpacked(tmp_path: Path, mode: str) -> None:
    path = tar(tmp_path / "a", (plain("cats/1.png"), b"one"), (plain("dogs/2.png"), b"two"), mode=mode)
    assert archive.is_archive(path)
    archive.unpack(path, tmp_path / "out")
    assert (tmp_path / "out/cats/1.png").read_bytes() == b"one"
    assert (tmp_path / "out/dogs/2.png").read_bytes() == b"two"


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("cats/", "")
        packed.writestr("cats/1.png", "one")
    archive.unpack(path, tmp_path / "out")
    assert (tmp_path / "out/cats/1.png").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("member", "what"),
    [
        (plain("../evil"), "leads outside"),
        (plain("a/../../evil"), "leads outside"),
        (plain("/tmp/evil"), "leads outside"),
        (plain("C:/evil"), "leads outside"),
        (plain("..\\evil"), "leads outside"),
        (special("link", tarfile.SYMTYPE, "/etc"), "a link"),
        (special("link", tarfile.LNKTYPE, "../evil"), "a link"),
        (special("null", tarfile.CHRTYPE), "a device"),
        (special("pipe", tarfile.FIFOTYPE), "a device"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_a_malicious_tar_is_refused(tmp_path: Path, member: tarfile.TarInfo, what: str) -> None:
    path = tar(tmp_path / "a.tgz", (plain("good"), b"good"), (member, b""))
    (tmp_path / "deep").mkdir()
    with pytest.raises(UnsafeArchiveError, match=what):
        archive.unpack(path, tmp_path / "deep" / "out")
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["a.tgz", "deep", "good", "out"]


def test_a_file_behind_a_link_is_not_written(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tgz", (special("d", tarfile.SYMTYPE, str(tmp_path)), b""), (plain("d/evil"), b"x"))
    with pytest.raises(UnsafeArchiveError):
        archive.unpack(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_a_malicious_zip_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(name, "x")
    with pytest.raises(UnsafeArchiveError, match="leads outside"):
        archive.unpack(path, tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(UnsafeArchiveError, match="a link"):
        archive.unpack(path, tmp_path / "out")


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(50_000_000))
    limits = ArchiveLimits(files=10, unpacked_bytes=1_000_000)
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        archive.unpack(path, tmp_path / "out", limits)
    assert (tmp_path / "out/zeros").stat().st_size <= limits.unpacked_bytes


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tgz", *((plain(str(number)), b"") for number in range(11)))
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        archive.unpack(path, tmp_path / "out", ArchiveLimits(files=10, unpacked_bytes=1))


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tgz", (plain("x"), b"1"), (plain("x"), b"2"))
    with pytest.raises(UnsafeArchiveError, match="twice"):
        archive.unpack(path, tmp_path / "out")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tgz", (plain("x"), bytes(range(256)) * 400))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceError, match="damaged"):
        archive.unpack(path, tmp_path / "out")
