"""Whether bundles are signed, and whether they must be: `[signing]` in modelyard.toml, and the environment."""

from __future__ import annotations

import os
from pathlib import Path

from components.contracts import settings
from components.core.errors import UsageError
from components.core.log import Log
from components.core.project import Project
from components.packaging import signature
from components.packaging.bundle import SIGNATURE, Bundle

REQUIRED = "MODELYARD_REQUIRE_SIGNATURE"


def key(project: Project) -> Path | None:
    """The private key that every built bundle is signed with; None: none is.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    return _path(project, settings.read(project.root).signing.key)


def required_key(project: Project) -> Path | None:
    """The public key that whatever is released must be signed for; None: signatures are not required.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    return _path(project, os.environ.get(REQUIRED) or settings.read(project.root).signing.require)


def verification_key(project: Project, named: Path | None, *, required: bool) -> Path | None:
    """The public key that a command verifies with: the one that its option names, else the project's.

    Args:
        required: whether the command requires a signature.

    Raises:
        UsageError: there is no key, and one is required; or the key cannot be read.
        SpecError: modelyard.toml is wrong.
    """
    public_key = named or required_key(project)
    if public_key is not None:
        signature.key_fingerprint(public_key)
    elif required:
        raise UsageError("no public key to verify signatures with", expected="--public-key FILE")
    return public_key


def ensure_signed(project: Project, bundle: Bundle, log: Log, private_key: Path | None = None) -> Path | None:
    """Sign a bundle that is not signed yet, if the project has a key.

    Args:
        private_key: sign with this key, and anew; default: the project's.

    Returns:
        The signature; None: the bundle is not signed.

    Raises:
        UsageError: the key cannot be used.
    """
    file = bundle.folder / SIGNATURE
    used = private_key or (key(project) if not file.is_file() else None)
    if used is not None:
        signature.sign(bundle.source, file, used)
        log(f"bundle {bundle.tag} is signed with {used.name}")
    return file if file.is_file() else None


def require(project: Project, bundle: Bundle) -> None:
    """Verify the signature of a bundle, if the project requires one.

    Raises:
        SignatureError: it is not signed, or not with that key, or a file is not the one that was signed.
        UsageError: the public key cannot be read.
    """
    public_key = required_key(project)
    if public_key is not None:
        signature.verify(bundle.source, bundle.folder / SIGNATURE, public_key)


def _path(project: Project, text: str | None) -> Path | None:
    return None if not text else project.root / Path(text).expanduser()
