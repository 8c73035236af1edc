"""Detached signatures of folders with an elliptic-curve key, in the format of OpenSSF model signing.

https://github.com/sigstore/model-transparency: a sigstore bundle with the sha256 of every file. A signature lies beside
what it signs: two signatures of the same content differ. `model_signing verify key` verifies it as well.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from components.core import atomic
from components.core.errors import SignatureError, UsageError
from components.packaging.bundle import COMPILED

PASSWORD = "MODELYARD_SIGNING_PASSWORD"  # noqa: S105  # the variable's name; of an encrypted private key
_CURVES = "a PEM file with an elliptic-curve key (P-256, P-384 or P-521)"
_MAKE_KEY = (
    "openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl ec -in key.pem -pubout -out key.pub"
)


def sign(folder: Path, target: Path, key: Path) -> None:
    """Sign every file of a folder but compiled ones; the signature appears whole.

    Args:
        key: PEM file of the private key; `MODELYARD_SIGNING_PASSWORD` is its password.

    Raises:
        UsageError: the key cannot be used.
    """
    from model_signing import hashing, signing

    if not key.is_file():
        raise UsageError("no such signing key", where=str(key), expected=_CURVES, next_step=_MAKE_KEY)
    password = os.environ.get(PASSWORD)
    try:
        # The library hands the password on as it is; cryptography wants bytes.
        signer = signing.Config().use_elliptic_key_signer(
            private_key=key,
            password=password.encode() if password else None,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            "this key cannot sign", where=str(key), got=error, expected=f"{_CURVES}; its password in {PASSWORD}"
        ) from error
    compiled = [path.relative_to(folder) for name in COMPILED for path in folder.rglob(name)]
    config = hashing.Config().set_ignored_paths(paths=compiled, ignore_git_paths=False)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        signer.set_hashing_config(config).sign(folder, fresh)
        atomic.write_bytes(target, fresh.read_bytes())
    finally:
        fresh.unlink(missing_ok=True)


def verify(folder: Path, signature: Path, public_key: Path) -> str:
    """Compare every signed file of a folder with its signature. Files that are not signed are left to the manifest.

    Returns:
        The fingerprint of the key: the sha256 of its PEM form.

    Raises:
        UsageError: the public key cannot be read.
        SignatureError: there is no signature, it was made with another key, or a file is not the one that was signed.
    """
    fingerprint = key_fingerprint(public_key)
    if not signature.is_file():
        raise SignatureError(
            "not signed",
            where=str(folder),
            expected=f"{signature.name}, made with the key {fingerprint[:12]}",
            next_step="`modelyard bundle PIPELINE --sign KEY` signs a bundle",
        )
    signed_with = _signed_with(signature)
    if signed_with != fingerprint:
        raise SignatureError(
            "signed with another key", where=str(signature), got=f"key {signed_with[:12]}", expected=fingerprint[:12]
        )
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    verifier.set_hashing_config(hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False))
    try:
        verifier.set_ignore_unsigned_files(True).verify(folder, signature)
    except InvalidSignature as error:
        raise SignatureError(
            "the signature was changed, or not made with the key that it names", where=str(signature)
        ) from error
    except FileNotFoundError as error:
        raise SignatureError("a signed file is missing", where=str(error.filename or folder)) from error
    except Exception as error:  # the signature comes from elsewhere: the libraries that parse it may raise anything
        raise SignatureError(
            "a file is not the one that was signed", where=str(folder), got=str(error)[:500]
        ) from error
    return fingerprint


def key_fingerprint(public_key: Path) -> str:
    """The sha256 of a public key's PEM form, as signatures name it.

    Raises:
        UsageError: the key cannot be read.
    """
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            "this public key cannot be read", where=str(public_key), got=error, expected=_CURVES, next_step=_MAKE_KEY
        ) from error
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _signed_with(signature: Path) -> str:
    """The fingerprint of the key that a signature names; whether it tells the truth is not checked here."""
    try:
        return str(json.loads(signature.read_bytes())["verificationMaterial"]["publicKey"]["hint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SignatureError("the signature cannot be read", where=str(signature), got=error) from error
