"""Git commit and locked environment: what version and run name, and what the repository holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.core import git
from components.core.errors import CorruptArtifactError
from components.identity import digest
from components.identity.digest import short
from components.packaging import requirements
from components.provenance.proof import AbsentError

COMMIT = "modelyard.git_commit"
LOCK = "modelyard.lock_digest"
DIRTY = "-dirty"
LOCK_FILE = "requirements.lock"


def commit(root: Path, recorded: Mapping[str, Mapping[str, str]]) -> str:
    """The commits that version and run name are in this repository.

    Args:
        recorded: tags, by who bears them.
    """
    said = []
    for who, tags in recorded.items():
        named = tags.get(COMMIT)
        if named is None:
            said.append(f"{who} was made outside of git")
            continue
        _there(root, who, named)
        changed = " with changes of its own" if named.endswith(DIRTY) else ""
        said.append(f"{who}: commit {short(named)}{changed}")
    if not any(COMMIT in tags for tags in recorded.values()):
        raise AbsentError("; ".join(said))
    return "; ".join(dict.fromkeys(said))


def lock(root: Path, recorded: Mapping[str, Mapping[str, str]]) -> str:
    """The locked environment that version and run name is the one of their commit, or the one on disk."""
    file = root / LOCK_FILE
    on_disk = digest.of_file(file) if file.is_file() else None
    said = []
    for who, tags in recorded.items():
        named, at = tags.get(LOCK), tags.get(COMMIT, "")
        if named is None:
            raise CorruptArtifactError(f"{who} names no lock", where=who, expected=f"the tag {LOCK}")
        committed = _committed(root, at.removesuffix(DIRTY))
        if named == committed:
            said.append(f"{who}: that of its commit")
        elif named == on_disk and (committed is None or at.endswith(DIRTY)):
            said.append(f"{who}: that on disk")
        elif committed is None and (refusal := git.ask(root, "rev-parse", "--git-dir")).next_step:
            raise AbsentError(f"{refusal.reason} (`{refusal.next_step}`)")
        elif committed is None and on_disk is None:
            raise AbsentError(f"no {LOCK_FILE} here, and none of {who}'s commit")
        else:
            expected = committed if committed is not None and not at.endswith(DIRTY) else on_disk
            raise CorruptArtifactError(f"{who} names another lock", where=LOCK_FILE, got=named, expected=expected)
    return "; ".join(dict.fromkeys(said))


def pins(root: Path, bundle_facts: Mapping[str, Any]) -> str:
    """Without the registry: whether the libraries that the bundle pins are those of the lock on disk."""
    file = root / LOCK_FILE
    if not file.is_file():
        raise AbsentError(f"no {LOCK_FILE} here")
    locked = requirements.locked(file)
    asked = dict(line.split("==", 1) for line in bundle_facts["requirements"])
    other = [
        f"{name} {version} -> {locked.get(name)}" for name, version in asked.items() if locked.get(name) != version
    ]
    if other:
        raise AbsentError(f"{LOCK_FILE} is another one now: {', '.join(other[:3])}")
    return f"the bundle's {len(asked)} pins are those of {LOCK_FILE} on disk"


def _there(root: Path, who: str, named: str) -> None:
    sha = named.removesuffix(DIRTY)
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise CorruptArtifactError("no commit's name", where=f"{who}, tag {COMMIT}", got=named)
    repository = git.ask(root, "rev-parse", "--git-dir")
    if repository.next_step:
        raise AbsentError(f"{repository.reason} (`{repository.next_step}`)")
    if repository.output is None:
        raise AbsentError("the project is in no git repository")
    if git.ask(root, "cat-file", "-e", f"{sha}^{{commit}}").output is None:
        if git.ask(root, "rev-parse", "--is-shallow-repository").text == "true":
            raise AbsentError(f"commit {short(sha)} is not in this clone, which is a shallow one")
        raise CorruptArtifactError("no such commit in this repository", where=f"{who}, tag {COMMIT}", got=named)


def _committed(root: Path, sha: str) -> str | None:
    """The digest of the lock at a commit; None where there is none."""
    content = git.ask(root, "show", f"{sha}:./{LOCK_FILE}").output if re.fullmatch(r"[0-9a-f]{40}", sha) else None
    return None if content is None else hashlib.sha256(content).hexdigest()
