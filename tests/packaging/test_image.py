"""The Containerfile, and the tool that builds: found, or named as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import ServingError, UsageError
from components.packaging import container_tool, image
from components.packaging.archive import ArchiveFacts

FACTS = ArchiveFacts(
    model="digits", version="3", bundle="digits:0123456789ab", bundle_digest="b" * 64, bento_digest="e" * 64,
    package_digest="a" * 64, data_digest="d" * 64, platform="linux",
)  # fmt: skip


def test_without_a_tool_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServingError, match="no tool") as caught:
        container_tool.find(None, None)
    assert caught.value.got == "docker is not installed; podman is not installed"
    broken = tmp_path / "docker"
    broken.write_text("#!/bin/sh\necho 'cannot connect to the daemon' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ServingError) as caught:
        container_tool.find(None, None)
    assert "docker does not work: cannot connect to the daemon" in str(caught.value.got)
    working = tmp_path / "podman"
    working.write_text("#!/bin/sh\nexit 0\n")
    working.chmod(0o755)
    monkeypatch.setenv(container_tool.TOOL_ARGS, "--runtime 'a b'")
    assert container_tool.find(None, None) == container_tool.ContainerTool("podman", ("--runtime", "a b"))
    with pytest.raises(ServingError):
        container_tool.find("docker", None)
    with pytest.raises(UsageError):
        container_tool.find("podman", "--runtime 'a")


def test_the_file_names_digests_and_no_name_of_a_base_writes_lines_of_its_own() -> None:
    labels = image.labels(FACTS, "f" * 64, "registry.example/python:3.11@sha256:00", "sha256:11")
    text = image.containerfile("registry.example/python:3.11@sha256:00", labels)
    for value in ("b" * 64, "a" * 64, "d" * 64, "f" * 64, "sha256:11"):
        assert f'"{value}"' in text
    assert text.count("FROM registry.example/python:3.11@sha256:00") == 2
    assert "USER 1034:1034" in text
    assert "--no-index" in text
    for base in ("a\nRUN evil", "$HOME", "a b", ""):
        with pytest.raises(UsageError, match="not the name of an image"):
            image.containerfile(base, labels)


def test_a_pushed_image_is_known_by_the_digest_of_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool is a script that checks how it is called: `make containers` builds with a real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script = tmp_path / "podman"
    script.write_text(
        '#!/bin/sh\ncase "$1 $2" in\n"tag digits:abc") test "$3" = host/ml/digits:abc ;;\n'
        f'"push --digestfile") test "$4" = host/ml/digits:abc && echo sha256:{"1" * 64} >"$3" ;;\n*) exit 9 ;;\nesac\n'
    )
    script.chmod(0o755)
    tool, said = container_tool.ContainerTool("podman"), list[str]()
    assert tool.push("digits:abc", "host/ml/digits", said.append) == f"host/ml/digits@sha256:{'1' * 64}"
    assert said == ["pushing host/ml/digits:abc with podman"]
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\ncase "$1" in\ntag | push) ;;\n'
        f'image) echo \'["other@sha256:00", "host/ml/digits@sha256:{"2" * 64}"]\' ;;\n*) exit 9 ;;\nesac\n'
    )
    docker.chmod(0o755)
    pushed = container_tool.ContainerTool("docker").push("digits:abc", "host/ml/digits", said.append)
    assert pushed == f"host/ml/digits@sha256:{'2' * 64}"
    script.write_text("#!/bin/sh\necho unauthorized >&2\nexit 1\n")
    with pytest.raises(ServingError, match="could not push") as refused:
        tool.push("digits:abc", "host/ml/digits", said.append)
    assert (refused.value.got, "podman login host" in str(refused.value.next_step)) == ("unauthorized", True)
