"""Compare the git commit and the locked environment of version and run with the repository."""

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
IMPORTED = "modelyard.imported_archive"  # of a version and a run that come from another installation
DIRTY = "-dirty"
LOCK_FILE = "requirements.lock"


def commit(root: Path, tags_by_owner: Mapping[str, Mapping[str, str]]) -> str:
    """Check that the commits of version and run are in this repository; a summary.

    Args:
        tags_by_owner: tags of `version` and `run`.
    """
    notes = []
    for owner, tags in tags_by_owner.items():
        sha = tags.get(COMMIT)
        if IMPORTED in tags:
            there = tags.get("modelyard.imported_git_commit")
            notes.append(f"{owner} was imported; its commit{f' {short(there)}' if there else ''} is not here")
            continue
        if sha is None:
            notes.append(f"{owner} was made outside of git")
            continue
        _require_commit(root, owner, sha)
        changed = " with changes of its own" if sha.endswith(DIRTY) else ""
        notes.append(f"{owner}: commit {short(sha)}{changed}")
    if not any(COMMIT in tags for tags in tags_by_owner.values()):
        raise AbsentError("; ".join(notes))
    return "; ".join(dict.fromkeys(notes))


def lock(root: Path, tags_by_owner: Mapping[str, Mapping[str, str]]) -> str:
    """Check that the lock of version and run is that of their commit, or that on disk; a summary."""
    file = root / LOCK_FILE
    on_disk = digest.of_file(file) if file.is_file() else None
    notes = []
    for owner, tags in tags_by_owner.items():
        if IMPORTED in tags:
            raise AbsentError(f"{owner} was imported: the lock that it was trained with is not here")
        lock_digest, sha = tags.get(LOCK), tags.get(COMMIT, "")
        if lock_digest is None:
            raise CorruptArtifactError(f"{owner} names no lock", where=owner, expected=f"the tag {LOCK}")
        committed = _lock_digest_at(root, sha.removesuffix(DIRTY))
        if lock_digest == committed:
            notes.append(f"{owner}: that of its commit")
        elif lock_digest == on_disk and (committed is None or sha.endswith(DIRTY)):
            notes.append(f"{owner}: that on disk")
        elif committed is None and (refusal := git.ask(root, "rev-parse", "--git-dir")).next_step:
            raise AbsentError(f"{refusal.reason} (`{refusal.next_step}`)")
        elif committed is None and on_disk is None:
            raise AbsentError(f"no {LOCK_FILE} here, and none of {owner}'s commit")
        else:
            expected = committed if committed is not None and not sha.endswith(DIRTY) else on_disk
            raise CorruptArtifactError(
                f"{owner} names another lock", where=LOCK_FILE, got=lock_digest, expected=expected
            )
    return "; ".join(dict.fromkeys(notes))


def pins(root: Path, bundle_facts: Mapping[str, Any]) -> str:
    """Compare the pinned requirements of a bundle with the lock on disk; a summary."""
    file = root / LOCK_FILE
    if not file.is_file():
        raise AbsentError(f"no {LOCK_FILE} here")
    locked = requirements.locked(file)
    unpinned = requirements.unpinned(bundle_facts["requirements"])
    pinned = dict(line.split("==", 1) for line in bundle_facts["requirements"] if line not in unpinned)
    differing = [
        f"{name} {version} -> {locked.get(name)}" for name, version in pinned.items() if locked.get(name) != version
    ]
    if differing:
        raise AbsentError(f"{LOCK_FILE} is another one now: {', '.join(differing[:3])}")
    rest = f"; not pinned: {', '.join(unpinned)}" if unpinned else ""
    return f"the bundle's {len(pinned)} pins are those of {LOCK_FILE} on disk{rest}"


def _require_commit(root: Path, owner: str, commit_name: str) -> None:
    sha = commit_name.removesuffix(DIRTY)
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise CorruptArtifactError("no commit's name", where=f"{owner}, tag {COMMIT}", got=commit_name)
    repository = git.ask(root, "rev-parse", "--git-dir")
    if repository.next_step:
        raise AbsentError(f"{repository.reason} (`{repository.next_step}`)")
    if repository.output is None:
        raise AbsentError("the project is in no git repository")
    if git.ask(root, "cat-file", "-e", f"{sha}^{{commit}}").output is None:
        if git.ask(root, "rev-parse", "--is-shallow-repository").text == "true":
            raise AbsentError(f"commit {short(sha)} is not in this clone, which is a shallow one")
        raise CorruptArtifactError("no such commit in this repository", where=f"{owner}, tag {COMMIT}", got=commit_name)


def _lock_digest_at(root: Path, sha: str) -> str | None:
    """The digest of the lock at a commit; None if there is none."""
    content = git.ask(root, "show", f"{sha}:./{LOCK_FILE}").output if re.fullmatch(r"[0-9a-f]{40}", sha) else None
    return None if content is None else hashlib.sha256(content).hexdigest()
