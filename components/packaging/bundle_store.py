"""Where bundles appear: whole or not at all, one build of a key at a time, and none is ever changed in place.

A bundle is built in the staging folder `building/<model>-<12 digits>/`, on the file system of its final place, and then
renamed to `bentos/<model>/<12 digits>/`, where BentoML looks for it. A build holds the lock of its key;
the holder may remove the staging folder of the key.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from components.core import atomic, file_lock
from components.core.errors import BundleError, CorruptArtifactError, NotFoundError
from components.core.log import Log
from components.identity import manifest as manifests
from components.packaging.bundle import BENTO_BESIDE, BESIDE, Bundle

LATEST = "latest"  # BentoML's file beside the versions of a model; names the newest


@contextmanager
def staging(bundle: Bundle, log: Log | None = None) -> Iterator[Path]:
    """An empty staging folder for a bundle, alone; a second build of the same key waits until the first has ended.

    What is left in the folder at the end is removed, and so are the folders of other builds that were killed.
    """
    folder = bundle.home / "building"
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / f"{bundle.model}-{bundle.folder.name}"
    with _locked(own, log):
        for other in folder.glob("*/"):
            if other != own:
                with _try_locked(other) as abandoned:
                    if abandoned:
                        shutil.rmtree(other, ignore_errors=True)
        if own.exists():
            shutil.rmtree(own)
        own.mkdir()
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)


def place(built: Path, bundle: Bundle, log: Log | None = None) -> None:
    """Let a built Bento, sealed, appear as `bundle`; called within `staging`.

    A bundle that is there and as sealed stays: a service may run from it, and a rollback may need it. One that is
    damaged is moved to `damaged/`, where a process that runs from it still finds its files.

    Raises:
        BundleError: the bundle that is there is as sealed, and another one.
    """
    fresh = manifests.verify(built / "src", "bundle", BESIDE)
    target = bundle.folder
    if target.exists():
        try:
            present = bundle.verify()
            manifests.verify(target, "bento", BENTO_BESIDE)
        except (CorruptArtifactError, NotFoundError) as damage:  # or half of one, as earlier versions could leave it
            aside = bundle.home / "damaged" / f"{bundle.model}-{target.name}-{time.time_ns()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.rename(aside)
            _tell(log, f"bundle {bundle.tag} was not as sealed ({damage.what}: {damage.where}); it is now {aside}")
        else:
            if present.digest != fresh.digest:
                raise BundleError(
                    "a bundle of the same key is there and sealed with another digest; it stays, as it may be in use",
                    where=str(target),
                    got=fresh.digest,
                    expected=present.digest,
                    next_step="if no service and no ledger entry names it, remove its folder and build again",
                )
            _tell(log, f"bundle {bundle.tag} is there already, with the same digest; it stays")
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Before the rename: where `latest` names a version that is not there, BentoML looks for the newest itself.
    atomic.write_text(target.parent / LATEST, target.name)
    built.rename(target)


def _tell(log: Log | None, text: str) -> None:
    if log is not None:
        log(text)


@contextmanager
def _locked(folder: Path, log: Log | None) -> Iterator[None]:
    path = _lock_file(folder)
    with file_lock.locked(path, "another process that builds this bundle", log):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # with the lock held: a process that waits for it sees that it is gone


@contextmanager
def _try_locked(folder: Path) -> Iterator[bool]:
    path = _lock_file(folder)
    with ExitStack() as lock:
        try:
            lock.enter_context(file_lock.locked(path, "another process that builds this bundle", timeout_seconds=0))
        except TimeoutError:
            yield False
            return
        lock.callback(path.unlink, missing_ok=True)
        yield True


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
