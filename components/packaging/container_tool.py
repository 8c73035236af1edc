"""Docker or podman as a program: find one that works, build an image with it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import BundleError, UsageError
from components.core.log import Log
from components.packaging import image_config

TOOL_ARGS = "MODELYARD_CONTAINER_ARGS"
BUILD_ARGS = "MODELYARD_CONTAINER_BUILD_ARGS"
_LAST_LINES = 15


@dataclass(frozen=True)
class ContainerTool:
    """A program that builds images.

    Args:
        arguments: before each of its commands, as `--runtime runc`.
    """

    name: str
    arguments: tuple[str, ...] = ()

    def run(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """One command of it, to its end, whatever that is."""
        return subprocess.run(
            [self.name, *self.arguments, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(environment or {})},
        )

    def image_id(self, image: str) -> str | None:
        """The digest of an image that is here; None: it is not."""
        done = self.run("image", "inspect", "--format", "{{.Id}}", image)
        text = done.stdout.strip().removeprefix("sha256:")
        return f"sha256:{text}" if done.returncode == 0 and text else None

    def pull(self, image: str) -> str:
        """The digest of an image, fetched if it is not here.

        Raises:
            BundleError: it cannot be fetched.
        """
        if (found := self.image_id(image)) is not None:
            return found
        done = self.run("pull", "--quiet", image)
        found = self.image_id(image)
        if done.returncode or found is None:
            raise BundleError(
                "the base image is not here and cannot be fetched",
                where=image,
                got=_end(done.stderr),
                next_step="name one that is here: --base IMAGE (it needs Python 3.11 with the module venv)",
            )
        return found

    def build(self, context: Path, containerfile: Path, tag: str, arguments: Sequence[str], log: Log) -> str:
        """Build an image without a network and with no times of its own; returns its digest.

        Raises:
            BundleError: the build failed; holds the end of its output.
        """
        words = ["build", "--network", "none", "--tag", tag, "--file", str(containerfile)]
        if self.name == "podman":
            # The OCI format has no place for a health check; Docker's has, and every runtime reads both.
            words += ["--format", "docker", "--timestamp", "0", "--pull=never", "--no-cache", "--layers=false"]
        log(f"building the image {tag} with {self.name}")
        done = self.run(
            *words, *arguments, str(context), environment={"DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": "0"}
        )
        if done.returncode == 0 and self.name == "podman":
            done = self._make_reproducible(tag, context)
        built = self.image_id(tag) if done.returncode == 0 else None
        if built is None:
            raise BundleError(
                f"{self.name} could not build the image",
                where=tag,
                got=_end(done.stdout + done.stderr),
                next_step=f"options of the tool go into --tool-args and --build-args, or {TOOL_ARGS} and {BUILD_ARGS}",
            )
        return built

    def push(self, tag: str, repository: str, log: Log) -> str:
        """Push an image under its own tag; returns its reference by the digest that the registry has.

        Args:
            repository: [HOST[:PORT]/]NAME, without a tag.

        Raises:
            BundleError: it cannot be pushed, or the registry's digest is not known.
        """
        target = f"{repository}:{tag.rpartition(':')[2]}"
        log(f"pushing {target} with {self.name}")
        done = self.run("tag", tag, target)
        digest = None
        if done.returncode == 0:
            with tempfile.TemporaryDirectory(prefix="modelyard-push-") as temporary:
                file = Path(temporary) / "digest"
                words = ["--digestfile", str(file)] if self.name == "podman" else []
                done = self.run("push", *words, target)
                digest = file.read_text().strip() if file.exists() else self._pushed_digest(target, repository)
        if done.returncode or digest is None:
            raise BundleError(
                f"{self.name} could not push the image",
                where=target,
                got=_end(done.stdout + done.stderr),
                next_step=f"`{self.name} login {repository.partition('/')[0]}`, or options of it in --tool-args",
            )
        return f"{repository}@{digest}"

    def _pushed_digest(self, target: str, repository: str) -> str | None:
        """The digest that Docker notes of an image once it has pushed it."""
        done = self.run("image", "inspect", "--format", "{{json .RepoDigests}}", target)
        known = json.loads(done.stdout) if done.returncode == 0 else []
        return next((one.rpartition("@")[2] for one in known if one.partition("@")[0] == repository), None)

    def _make_reproducible(self, tag: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Load the image anew without what differs from build to build; returns the last command that ran."""
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="image-") as temporary:
            saved, rewritten = Path(temporary) / "saved.tar", Path(temporary) / "rewritten.tar"
            before = self.image_id(tag)
            done = self.run("save", "--quiet", "--format", "docker-archive", "--output", str(saved), tag)
            if done.returncode:
                return done
            image_config.without_random_names(saved, rewritten)
            saved.unlink()
            done = self.run("load", "--quiet", "--input", str(rewritten))
        if done.returncode == 0 and before is not None and before != self.image_id(tag):
            self.run("rmi", before)  # without a name now
        return done


def find(name: str | None, arguments: str | None) -> ContainerTool:
    """The named tool, else the first of docker and podman that works.

    Args:
        arguments: options before each command, as in a shell; None: those of `MODELYARD_CONTAINER_ARGS`.

    Raises:
        BundleError: there is none, or it does not work.
        UsageError: the options cannot be read.
    """
    options = words(arguments if arguments is not None else os.environ.get(TOOL_ARGS, ""))
    reasons = []
    for candidate in [name] if name else ["docker", "podman"]:
        if shutil.which(candidate) is None:
            reasons.append(f"{candidate} is not installed")
            continue
        tool = ContainerTool(candidate, options if name or candidate == "podman" else ())
        done = tool.run("info")
        if done.returncode == 0:
            return tool
        reasons.append(f"{candidate} does not work: {_end(done.stderr, 1)}")
    raise BundleError(
        "no tool that builds images",
        got="; ".join(reasons),
        expected="docker or podman",
        next_step="install one (Debian: `apt-get install podman`), or name it with --tool",
    )


def words(text: str) -> tuple[str, ...]:
    """Options as in a shell.

    Raises:
        UsageError: a quotation mark is not closed.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError("options that cannot be read", got=text, expected=str(error)) from error


def _end(text: str, lines: int = _LAST_LINES) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
