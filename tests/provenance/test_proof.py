"""The chain of proof, without servers: whole as made, and each changed byte named with its link."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.errors import CorruptArtifactError, RegistryError, UsageError
from components.core.project import Project
from components.provenance import chain, source_links, target
from components.provenance.proof import AbsentError, Proof
from components.versioning import dvc_hash
from tests.provenance import small_chain

DATA_LINKS = ("data", "dvc", "report")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain") / "project"
    small_chain.make(root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the project, to change."""
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


def bento(root: Path) -> Path:
    (folder,) = (Project(root).bundles / "bentos" / "sample").glob("*/")
    return folder


def prove(root: Path, named: Path | None = None) -> Proof:
    place = str(named or bento(root))
    (pieces,) = target.artifacts(Project(root), place, None)
    return chain.prove(Project(root), place, pieces, None)


def states(proof: Proof) -> dict[str, str]:
    return {link.name: link.state for link in proof.links}


def flip(path: Path, place: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_all_that_needs_no_server_holds(made: Path) -> None:
    proof = prove(made)
    absent = dict.fromkeys(("version", "artifacts", "run", "commit"), "absent")
    assert states(proof) == dict.fromkeys(("bundle", "package", *DATA_LINKS, "lock"), "ok") | absent
    assert proof.holds
    assert proof.subject.startswith("sample version 4, package ")
    assert [link.said for link in proof.links if link.name == "run"] == ["not checked: registry not running"]
    assert states(prove(made, bento(made) / "src"))["bundle"] == "ok"
    assert states(prove(made, made / "package"))["package"] == "ok"


@pytest.mark.parametrize(
    ("file", "links"),
    [
        ("{bento}/src/serving/service.py", {"bundle"}),
        ("{bento}/src/serving.json", {"bundle"}),
        ("{bento}/src/manifest.json", {"bundle"}),
        ("{bento}/src/package/model.onnx", {"bundle", "package"}),
        ("{bento}/src/package/golden/000.png", {"bundle", "package"}),
        ("{bento}/src/package/manifest.json", {"bundle", "package"}),
        ("{bento}/bento.yaml", {"bundle"}),
        ("{bento}/env/python/requirements.txt", {"bundle"}),
        ("{bento}/env/docker/Dockerfile", {"bundle"}),
        ("data/things/raw/samples.parquet", {"data", "dvc"}),
        ("data/things/raw/manifest.json", {"data", "dvc"}),
        ("data/things/validated/samples.parquet", {"data", "dvc"}),
        ("data/things/validated/verdict.json", {"data", "dvc", "report"}),
        ("data/things/validated/manifest.json", {"data", "dvc", "report"}),
        ("data/things/prepared/test/images.npy", {"data", "dvc"}),
        ("data/things/prepared/verdict.json", {"data", "dvc", "report"}),
        ("data/things/prepared/manifest.json", {"data", "dvc", "report"}),
    ],
)
def test_a_changed_byte_is_named_with_its_links(root: Path, file: str, links: set[str]) -> None:
    path = root / file.format(bento=bento(root))
    flip(path, len(path.read_bytes()) // 2)
    proof = prove(root)
    broken = [link for link in proof.links if link.state == "broken"]
    assert {link.name for link in broken} == links
    assert not proof.holds
    assert any(path.name in f"{link.where} {link.said}" for link in broken), broken


def test_a_changed_word_in_dvc_lock_is_named(root: Path) -> None:
    path = root / "dvc.lock"
    md5 = dvc_hash.of_folder(root / "data/things/prepared")
    path.write_text(path.read_text().replace(md5, "0" + md5[1:]))
    (broken,) = [link for link in prove(root).links if link.state == "broken"]
    assert (broken.name, broken.expected) == ("dvc", md5)
    assert "data/things/prepared" in str(broken.where)


def test_data_that_moved_on_breaks_nothing(root: Path) -> None:
    shutil.rmtree(root / "data" / "things" / "prepared")
    proof = prove(root)
    assert {name: states(proof)[name] for name in DATA_LINKS} == dict.fromkeys(DATA_LINKS, "absent")
    assert proof.holds


def test_a_lock_that_was_renewed_is_said(root: Path) -> None:
    path = root / "requirements.lock"
    path.write_text(path.read_text().replace("\nnumpy==", "\nnumpy==9"))
    (lock,) = [link for link in prove(root).links if link.name == "lock"]
    assert lock.state == "absent"
    assert "numpy" in lock.said


def test_commit_and_lock_are_those_that_were_recorded(made: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    shutil.copy(made / "requirements.lock", lock)
    with pytest.raises(AbsentError, match="no git repository"):
        source_links.commit(tmp_path, {"version": {source_links.COMMIT: "0" * 40}})
    small_chain.git(tmp_path, "init", "-q")
    small_chain.git(tmp_path, "add", "-A")
    small_chain.git(tmp_path, "commit", "-qm", "first")
    commit = small_chain.git(tmp_path, "rev-parse", "HEAD")
    tags = {source_links.COMMIT: commit, source_links.LOCK: source_links.digest.of_file(lock)}
    assert f"commit {commit[:12]}" in source_links.commit(tmp_path, {"version": tags})
    dirty = {**tags, source_links.COMMIT: f"{commit}-dirty"}
    assert "with changes of its own" in source_links.commit(tmp_path, {"version": dirty})
    lock.write_text(lock.read_text() + "\nmore==1\n")  # the data of then is proven by the commit of then
    for recorded in (tags, dirty):
        assert source_links.lock(tmp_path, {"version": tags, "run": recorded}).endswith("that of its commit")
    dirty[source_links.LOCK] = source_links.digest.of_file(lock)
    assert "that on disk" in source_links.lock(tmp_path, {"version": dirty})
    for wrong in ({**tags, source_links.LOCK: "0" * 64}, {**dirty, source_links.LOCK: "0" * 64}):
        with pytest.raises(CorruptArtifactError, match="another lock"):
            source_links.lock(tmp_path, {"version": tags, "run": wrong})
    other = commit[:-1] + ("0" if commit[-1] != "0" else "1")
    for wrong_commit in (other, "main", commit[:12]):
        with pytest.raises(CorruptArtifactError, match="commit"):
            source_links.commit(tmp_path, {"version": {source_links.COMMIT: wrong_commit}})
    with pytest.raises(AbsentError, match="outside of git"):
        source_links.commit(tmp_path, {"version": {}})


def test_what_cannot_be_verified_is_said(made: Path, tmp_path: Path) -> None:
    project = Project(made)
    for nonsense in ("sample", "sample@", str(tmp_path), "ftp://somewhere"):
        with pytest.raises(UsageError):
            target.artifacts(project, nonsense, None)
    for registered in ("sample@champion", "sample:4"):
        with pytest.raises(RegistryError, match="not running"):
            target.artifacts(project, registered, None)


@pytest.mark.slow
def test_the_command_says_all_links_and_ends_with_1_where_one_is_broken(root: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flows.cli", "verify", *words]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment, check=False)

    environment = {"PYTHONPATH": str(small_chain.ROOT), "PATH": "/usr/bin:/bin"}
    tag = f"sample:{bento(root).name}"
    done = run(tag, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["holds"], said["target"]) == (0, True, tag)
    flip(bento(root) / "src" / "package" / "model.onnx")
    done = run(tag)
    assert done.returncode == 1
    assert "model.onnx" in done.stderr
    assert "sha256" in done.stderr
