"""A bundle as one file: the same bytes each time, verified when it is read, and installed where there is no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from components.contracts.pipeline import ServingOptions
from components.core.errors import CorruptArtifactError, NotFoundError, ServingError, UsageError
from components.identity import digest
from components.identity.package import Package
from components.inference.difference import difference
from components.packaging import archive, wheels
from components.packaging.bundle import Bundle
from flows.platform import ports
from tests import quiet_network
from tests.packaging import small_bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle.build(tmp_path_factory.mktemp("bundle"), ServingOptions())


def repacked(file: Path, folder: Path, name: str, change: bytes | None) -> Path:
    """A copy of an archive with one member's content replaced, or without the member."""
    with archive.unpacked(file, folder) as found:
        place = found.folder / name
        if change is None:
            place.unlink()
        else:
            place.write_bytes(change)
        archive.pack(found.folder, folder / "changed.tar")
    return folder / "changed.tar"


def test_the_same_bundle_gives_the_same_bytes_in_another_folder_at_another_time(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = small_bundle.build(tmp_path / "other", ServingOptions())
    os.utime(other.source / "serving.json", (1, 1))
    (other.source / "serving.json").chmod(0o600)
    first = archive.write(bundle, tmp_path / "first.tar")
    second = archive.write(other, tmp_path / "deep" / "second.tar")
    assert other.home != bundle.home
    assert first.manifest.digest == second.manifest.digest
    assert digest.of_file(tmp_path / "first.tar") == digest.of_file(tmp_path / "deep" / "second.tar")
    with tarfile.open(tmp_path / "first.tar") as packed:
        members = packed.getmembers()
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(archive.TIME_SECONDS, 0, "")}
    assert [member.name for member in members] == sorted(member.name for member in members)
    names = {member.name.partition("/")[2] for member in members}
    assert {"README.md", "bento/src/sbom.cdx.json", "bento/src/licences.txt", "bento/bento.yaml"} <= names
    with archive.unpacked(tmp_path / "first.tar", tmp_path) as found:
        assert found.facts.bundle_digest == bundle.verify().digest
        assert found.facts.version == "4"
        assert Package.open(found.bento / "src" / "package").digest == found.facts.package_digest
    assert {path.name for path in tmp_path.iterdir()} == {"other", "deep", "first.tar"}


def test_what_is_no_whole_archive_is_refused_and_named(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "whole.tar"
    archive.write(bundle, file)
    for name, change, words in (
        ("bento/src/package/model.onnx", b"other weights", "not the one that was sealed"),
        ("README.md", None, "a file is missing"),
        ("manifest.json", b"{}", "the manifest cannot be read"),
        ("bento/src/intruder.py", b"print()", "a file that the manifest does not name"),
    ):
        changed = repacked(file, tmp_path, name, change)
        with pytest.raises(CorruptArtifactError, match=words) as caught, archive.unpacked(changed, tmp_path):
            pass
        assert str(caught.value.where) == f"{changed}: {name}"  # the folder that it was unpacked to is gone
    content = file.read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tar").write_text("no archive")
    with tarfile.open(tmp_path / "outside.tar", "w") as packed:
        packed.add(file, "../outside")
    for name in ("cut.tar", "text.tar", "outside.tar"):
        with pytest.raises((CorruptArtifactError,)), archive.unpacked(tmp_path / name, tmp_path):
            pass
    with pytest.raises(NotFoundError), archive.unpacked(tmp_path / "none.tar"):
        pass


@pytest.mark.parametrize("target", ["/proc/a.tar", "/dev/null/a.tar", "."])
def test_where_no_archive_can_be_written_is_said_in_words(target: str) -> None:
    with pytest.raises(UsageError, match="the archive cannot be written"):
        archive.check_target(Path(target))


def test_a_damaged_bundle_is_not_packed(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.home, tmp_path / "home", symlinks=True)
    broken = replace(bundle, home=tmp_path / "home")
    (broken.source / "package" / "model.onnx").write_bytes(b"")
    with pytest.raises(CorruptArtifactError):
        archive.write(broken, tmp_path / "broken.tar")
    assert not (tmp_path / "broken.tar").exists()


def test_libraries_without_admitted_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="no hashes"):
        wheels.collect(["six==1.17.0"], {}, tmp_path / "cache", tmp_path / "wheels")
    # A file of the right name and of other content is not taken.
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "six-1.17.0-py2.py3-none-any.whl").write_bytes(b"something else")
    with pytest.raises(ServingError, match="pip could not fetch") as caught:
        wheels.collect(
            ["six==1.17.0"], {"six": ["0" * 64]}, tmp_path / "cache", tmp_path / "wheels",
            find_links=[str(tmp_path / "links")],
        )  # fmt: skip
    assert "--find-links" in str(caught.value.next_step)


# Install, serve, ask for answers and refusals, and print them; without a network, if `cut` says that there is none.
ALONE = """\
import base64, json, os, subprocess, sys, time
import httpx
folder, image, port, cut = sys.argv[1:]
if cut:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    names = subprocess.run(["ip", "-o", "link", "show", "up"], check=True, capture_output=True, text=True).stdout
    assert len(names.splitlines()) == 1, names
subprocess.run(["sh", f"{folder}/install.sh"], env={**os.environ, "PYTHON": sys.executable}, check=True)
words = ["sh", f"{folder}/serve.sh", "--host", "127.0.0.1", "--port", port]
served = subprocess.Popen(words, start_new_session=True)
client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=30)
try:
    begun = time.monotonic()
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        assert served.poll() is None and time.monotonic() - begun < 90
        time.sleep(0.1)
    content = open(image, "rb").read()
    document = json.dumps({"image": base64.b64encode(content).decode()}).encode()
    asked = [
        (content, "image/png"), (document, "application/json"),
        (b"seven", "image/png"), (b"seven", "text/plain"), (b"seven", "application/json"),
        (bytes(17_000_000), "image/png"),
    ]
    answers = [client.post("/predict", content=body, headers={"content-type": kind}) for body, kind in asked]
    print("ANSWERS" + json.dumps([[answer.status_code, answer.json()] for answer in answers]))
finally:
    served.terminate()
    served.wait(60)
"""


@pytest.mark.long
def test_with_wheels_it_installs_and_serves_without_a_network(bundle: Bundle, tmp_path: Path) -> None:
    facts = bundle.verify().facts
    hashes = small_bundle.hashes()
    log: list[str] = []
    wheels.collect(facts["requirements"], hashes, tmp_path / "cache", tmp_path / "wheels", log=log.append)
    again = wheels.collect(facts["requirements"], hashes, tmp_path / "cache", tmp_path / "again", log=log.append)
    assert len(again) == len(facts["requirements"])
    assert len(log) == 1, "what is in the cache is not fetched again"
    written = archive.write(bundle, tmp_path / "whole.tar", wheels=tmp_path / "wheels", platform=wheels.this_platform())
    with archive.unpacked(tmp_path / "whole.tar", tmp_path) as opened:
        assert len(list((opened.folder / "wheels").iterdir())) == len(facts["requirements"])
    subprocess.run(["tar", "-xf", str(tmp_path / "whole.tar"), "-C", str(tmp_path)], check=True)
    folder = tmp_path / written.folder.name
    golden = Package.open(bundle.source / "package").golden()[0]
    image = bundle.source / "package" / "golden" / golden.file
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BENTOML"))}
    is_cut = quiet_network.available() is None
    port = str(ports.choose(26950, set()))
    done = subprocess.run(
        [*(quiet_network.UNSHARE if is_cut else []), sys.executable, "-c", ALONE,
         str(folder), str(image), port, "cut" if is_cut else ""],
        env=bare, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout.partition("ANSWERS")[2].splitlines()[0])
    assert [status for status, _ in answers] == [200, 200, 422, 415, 400, 413]
    for _, answer in answers[:2]:
        assert difference(golden.answer, answer["predictions"][0]) < 1e-5
    installed = subprocess.run(["du", "-sm", str(folder / "venv")], capture_output=True, text=True, check=True).stdout
    assert int(installed.split()[0]) <= 260, "the environment of an image classifier"
