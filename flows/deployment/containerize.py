"""Build the image of a bundle: its archive with wheels is the context of the build."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from components.packaging import archive, image, wheels
from components.packaging.bundle import Bundle
from components.packaging.container_tool import ContainerTool
from flows.deployment import export


@dataclass(frozen=True)
class ImageOptions:
    """How an image is built.

    Args:
        base: an image with Python 3.11 and its module venv.
        tag: None: `<model>:<12 digits of the bundle's key>`.
        build_arguments: more options of the tool's `build`.
    """

    base: str = image.DEFAULT_BASE
    tag: str | None = None
    find_links: Sequence[str] = field(default=())
    build_arguments: Sequence[str] = field(default=())


@dataclass(frozen=True)
class BuiltImage:
    """An image that the tool holds; `digest` is its identity there."""

    tag: str
    digest: str
    labels: dict[str, str]


def build(project: Project, bundle: Bundle, tool: ContainerTool, options: ImageOptions, log: Log) -> BuiltImage:
    """Build the image of a bundle.

    Raises:
        ServingError: no base image, a library cannot be fetched, or the build failed.
        CorruptArtifactError: the bundle is not as sealed.
    """
    base_id = tool.pull(options.base)
    tag = options.tag or f"{bundle.model}:{digest.short(bundle.key)}"
    with tempfile.TemporaryDirectory(prefix="modelyard-image-") as temporary:
        collected, file = Path(temporary) / "wheels", Path(temporary) / "bundle.tar"
        export.collect_wheels(project, bundle, collected, options.find_links, log)
        written = archive.write(bundle, file, wheels=collected, platform=wheels.this_platform())
        with archive.unpacked(file, Path(temporary)) as opened:
            labels = image.labels(opened.facts, written.manifest.digest, options.base, base_id)
            containerfile = Path(temporary) / image.CONTAINERFILE
            containerfile.write_text(image.containerfile(options.base, labels))
            built = tool.build(opened.folder, containerfile, tag, options.build_arguments, log)
    return BuiltImage(tag, built, labels)
