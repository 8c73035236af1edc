"""Where the image of a bundle is: its reference by digest in a registry of images, recorded beside the bundles.

The bundle itself is sealed, and an image is made of it later; so the record is a file of its own. The digest of the
bundle stands in it: a bundle that was built anew under the same key needs a new image.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from components.core import atomic
from components.core.errors import UsageError
from components.core.strict import Strict
from components.packaging.bundle import Bundle

FOLDER = "images"


class PushedImage(Strict):
    """One record.

    Args:
        image: [HOST[:PORT]/]NAME@sha256:DIGEST.
        bundle_digest: of the sealed bundle that the image was made of.
    """

    image: str
    bundle_digest: str


def path(bundle: Bundle) -> Path:
    """The record's file."""
    return bundle.home / FOLDER / bundle.model / f"{bundle.folder.name}.json"


def record(bundle: Bundle, image: str) -> PushedImage:
    """Record where the image of a bundle is; an earlier record is replaced.

    Raises:
        NotFoundError, CorruptArtifactError: the bundle is not whole.
        UsageError: the reference has no digest.
    """
    if "@sha256:" not in image:
        raise UsageError(
            "a tag may name another image tomorrow",
            got=image[:200],
            expected="[HOST[:PORT]/]NAME@sha256:DIGEST",
            next_step="`skopeo inspect --format '{{.Digest}}' docker://IMAGE` prints the digest of a pushed image",
        )
    found = PushedImage(image=image, bundle_digest=bundle.verify().digest)
    path(bundle).parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path(bundle), found.model_dump_json(indent=1) + "\n")
    return found


def of_bundle(bundle: Bundle, bundle_digest: str | None) -> str | None:
    """The image of a bundle; None: none is recorded, or one of another content.

    Args:
        bundle_digest: that the bundle is pinned with; None: any.
    """
    try:
        found = PushedImage.model_validate_json(path(bundle).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return found.image if bundle_digest in (None, found.bundle_digest) else None
