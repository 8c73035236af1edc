"""Class folders as people have them: what systems put beside files, spellings of names, classes that would vanish."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from components.contracts.dataset import FolderSource
from components.contracts.dataset_layout import FolderLayout
from components.core.errors import SourceError, UnsafeArchiveError
from components.drafting.recognise import recognise
from components.ingestion import archive, sources
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample


def picture(kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 0, 0)).save(stream, kind)
    return stream.getvalue()


def put(root: Path, *names: str, content: bytes | None = None) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture() if content is None else content)
    return root


def read(path: Path, remarks: Remarks | None = None, **layout: object) -> list[Sample]:
    found = FolderLayout.model_validate({"kind": "folder", **layout}) if layout else None
    source = FolderSource(kind="folder", path=str(path), layout=found)
    with sources.open_source(source, path.parent, remarks or Remarks()) as samples:
        return list(samples)


class _RawName(zipfile.ZipInfo):
    """A member whose name is written in an encoding, without the flag that says UTF-8."""

    encoding = "ascii"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802  # zipfile's own name
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


def zipped(path: Path, *names: str, encoding: str = "ascii", encrypted: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            info = _RawName(name)
            info.encoding = encoding
            packed.writestr(info, picture())
    content = path.read_bytes()
    if encrypted:  # the first bit of the flags
        content = content.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
        content = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    path.write_bytes(content)
    return path


def test_what_systems_put_beside_files_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, "photos/cat/1.JPG", "photos/dog/2.JPG")
    put(tmp_path, "__MACOSX/photos/cat/._1.JPG", "photos/cat/Thumbs.db", "photos/.DS_Store", content=b"junk")
    found = recognise(tmp_path)
    assert (found.task, found.layout) == ("image-classification", {"kind": "folder", "root": "photos"})
    remarks = Remarks()
    assert [sample.id for sample in read(tmp_path, remarks, root="photos")] == ["cat/1.JPG", "dog/2.JPG"]
    assert remarks.lines() == []


def test_an_archive_of_a_folder_is_read_as_the_folder(tmp_path: Path) -> None:
    path = zipped(tmp_path / "photos.zip", "photos/cat/1.png", "photos/dog/2.png", "__MACOSX/photos/cat/._1.png")
    assert [sample.values["label"] for sample in read(path)] == ["cat", "dog"]


def test_classes_are_one_whatever_form_their_names_have(tmp_path: Path) -> None:
    put(tmp_path, f"train/{unicodedata.normalize('NFC', 'Café')}/1.png", "train/Tee/2.png")
    put(tmp_path, f"test/{unicodedata.normalize('NFD', 'Café')}/3.png", "test/Tee/4.png")
    assert {sample.values["label"] for sample in read(tmp_path, splits=True)} == {"Café", "Tee"}


def test_images_are_known_by_their_content(tmp_path: Path) -> None:
    put(tmp_path, "daisy/1.jpg", "tulip/1.jfif", content=picture("JPEG"))
    put(tmp_path, "tulip/notes.txt", content=b"seen in May")
    remarks = Remarks()
    assert [sample.values["label"] for sample in read(tmp_path, remarks)] == ["daisy", "tulip"]
    assert remarks.lines() == ["1 files .txt are left out (tulip/notes.txt)"]


def test_a_class_of_which_nothing_is_read_is_refused_by_name(tmp_path: Path) -> None:
    put(tmp_path, "daisy/1.png", "rose/2.png")
    put(tmp_path, "poppy/1.raw", "poppy/2.raw", content=b"raw")
    (tmp_path / "lily").mkdir()
    with pytest.raises(SourceError, match="classes of which nothing is read") as caught:
        read(tmp_path)
    assert caught.value.got == "lily: empty; poppy: 2 files .raw"
    with pytest.raises(SourceError, match="classes of which nothing is read") as caught:
        read(tmp_path, classes={"daisy": "daisy", "tulip": "tulip"})
    assert caught.value.got == "tulip: no such folder"
    remarks = Remarks()
    assert len(read(tmp_path, remarks, classes={"daisy": "daisy"})) == 1
    assert remarks.lines() == [
        "3 files in folders that the layout does not name are left out (poppy/1.raw, poppy/2.raw, rose/2.png)"
    ]


def test_links_to_folders_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a/cat/1.png", "a/dog/2.png", "elsewhere/3.png")
    (tmp_path / "a" / "bird").symlink_to(tmp_path / "elsewhere")
    remarks = Remarks()
    with pytest.raises(SourceError, match="classes of which nothing is read"):
        read(tmp_path / "a", remarks)
    assert remarks.lines() == ["1 links to folders are not followed (bird)"]


@pytest.mark.parametrize("folders", [("fold1", "fold2"), ("train", "val"), ("split_0", "split_1")])
def test_folders_of_splits_and_folds_are_no_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    put(tmp_path, *(f"{folder}/1.png" for folder in folders))
    with pytest.raises(SourceError, match="no classes by their names") as caught:
        recognise(tmp_path)
    assert caught.value.got == ", ".join(folders)


@pytest.mark.parametrize(
    ("encoding", "names"), [("gbk", {"猫", "狗"}), ("shift_jis", {"猫", "犬"}), ("cp850", {"Árvore", "Maçã"})]
)
def test_names_of_archives_that_are_not_utf8_are_asked_for(tmp_path: Path, encoding: str, names: set[str]) -> None:
    path = zipped(tmp_path / "names.zip", *(f"{name}/1.png" for name in sorted(names)), encoding=encoding)
    with pytest.raises(SourceError, match="the names in the archive are not in UTF-8") as caught:
        archive.unpack(path, tmp_path / "out")
    assert f"{encoding}: {min(names)}/1.png" in str(caught.value.got)
    archive.unpack(path, tmp_path / "named", names=encoding)
    assert {child.name for child in (tmp_path / "named").iterdir()} == names


def test_names_in_utf8_without_the_flag_are_read(tmp_path: Path) -> None:
    archive.unpack(zipped(tmp_path / "names.zip", "Bär/1.png", encoding="utf-8"), tmp_path / "out")
    assert [child.name for child in (tmp_path / "out").iterdir()] == ["Bär"]


def test_an_encrypted_archive_and_a_double_name_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the archive is encrypted"):
        archive.unpack(zipped(tmp_path / "locked.zip", "cat/1.png", encrypted=True), tmp_path / "a")
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "twice.zip", "cat/1.png", "cat/1.png")
    with pytest.raises(UnsafeArchiveError, match="a name stands twice"):
        archive.unpack(path, tmp_path / "b")


def _texts(root: Path, encoding: str, splits: tuple[str, ...] = ("",)) -> Path:
    words = {"gut": "Größe und Güte für {} Äpfel, schön\n", "schlecht": "nur {} trübe, zähe Brühe für Käufer\n"}
    for split in splits:
        for label, words_of in words.items():
            for number in range(6):
                content = words_of.format(number).encode(encoding)
                put(root, f"{split}/{label}/{number}.txt".lstrip("/"), content=content)
    return root


def test_texts_in_class_folders_are_drafted_with_their_encoding(tmp_path: Path) -> None:
    plain = recognise(_texts(tmp_path / "utf8", "utf-8"))
    assert (plain.task, plain.layout) == ("text-classification", {"kind": "folder", "root": ".", "text": True})
    found = recognise(_texts(tmp_path / "cp1252", "cp1252", ("train", "test")))
    assert (found.layout["encoding"], found.layout["splits"]) == ("cp1252", True)
    assert any("the encoding is a guess" in remark for remark in found.remarks)
    samples = read(tmp_path / "cp1252", **found.layout)
    assert (samples[0].values["text"], samples[0].split) == ("Größe und Güte für 0 Äpfel, schön\n", "test")
    assert "encoding" not in FolderLayout.model_validate(plain.layout).model_dump(mode="json")
    marked = recognise(_texts(tmp_path / "utf16", "utf-16"))
    assert read(tmp_path / "utf16", **marked.layout)[0].values["text"].startswith("Größe")


def test_texts_in_several_encodings_are_refused_by_file(tmp_path: Path) -> None:
    folder = _texts(tmp_path, "cp1252")
    put(folder, "gut/0.txt", content="Größe".encode())
    with pytest.raises(SourceError, match="files in several encodings") as caught:
        recognise(folder)
    assert "(0.txt)" in str(caught.value.got)
    assert str(caught.value.where).endswith("gut/1.txt")
    put(folder, "gut/0.txt", content=b"a \x81 byte that cp1252 does not have\n")
    with pytest.raises(SourceError, match="not cp1252 text") as caught:
        read(folder, text=True, encoding="cp1252")
    assert str(caught.value.where).endswith("gut/0.txt line 1")
    put(folder, "gut/0.txt", content="ein \u2013 Strich\n".encode("cp1252"))
    with pytest.raises(SourceError, match="not latin-1 text"):
        read(folder, text=True, encoding="latin-1")
    damaged = _texts(tmp_path / "damaged", "utf-8")
    put(damaged, "gut/0.txt", content="Größe".encode("cp1252"))
    found = recognise(damaged)
    assert any("1 files are not UTF-8" in remark for remark in found.remarks)
    assert "\ufffd" in read(damaged, **found.layout)[0].values["text"]
