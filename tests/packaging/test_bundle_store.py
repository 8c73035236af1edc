"""Bundles appear whole or not at all: kills at every change of the disk, builds side by side, damage, a full disk."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import DiskFullError, ServingError
from components.identity import manifest
from components.packaging import bundle_store, stage
from components.packaging.bundle import COMPILED, Bundle
from components.packaging.bundle_request import BundleRequest

# Python's audit events of calls that change the disk.
CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.truncate", "open"})
KEY, OTHER_KEY = "a" * 64, "b" * 64


def built(folder: Path, content: str = "weights", key: str = KEY) -> Path:
    """A small Bento in a folder, sealed as a build seals it."""
    (folder / "src" / "package").mkdir(parents=True)
    (folder / "src" / "package" / "model.onnx").write_text(content)
    manifest.seal(folder / "src", "bundle", {"key": key})
    (folder / "bento.yaml").write_text("service: serving.service:ModelService\n")
    manifest.seal(folder, "bento", {})
    return folder


def build(bundle: Bundle, log: list[str] | None = None, content: str = "weights") -> None:
    say = (log if log is not None else []).append
    with bundle_store.staging(bundle, say) as staging:
        bundle_store.place(built(staging / "made", content, bundle.key), bundle, say)


def is_whole(bundle: Bundle) -> bool:
    bundle.verify()
    manifest.verify(bundle.folder, "bento", COMPILED)
    return True


def leftovers(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "building").glob("*"))


def killed(act: Callable[[], object], at: int) -> bool:
    """Whether `act`, in a child process, was killed before its change number `at` of the disk; else it ended well."""
    child = os.fork()
    if child == 0:
        left = at

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in CHANGES and (event != "open" or _writes(arguments)):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            act()
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def _writes(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_disk_leaves_no_half_of_a_bundle(tmp_path: Path) -> None:
    at, existed = 0, []
    while True:
        at += 1
        bundle = Bundle(tmp_path / str(at), "sample", KEY)
        was_killed = killed(lambda bundle=bundle: build(bundle), at)  # type: ignore[misc]
        existed.append(bundle.exists() and is_whole(bundle))
        if not was_killed:
            break
        build(bundle)
        assert is_whole(bundle)
        assert leftovers(bundle.home) == []
        assert (bundle.folder.parent / "latest").read_text() == bundle.folder.name
    assert at > 15
    assert existed == sorted(existed)  # there from one moment on
    assert not existed[0]
    assert existed[-1]


@pytest.mark.slow
def test_a_kill_while_a_damaged_bundle_is_replaced_loses_neither(tmp_path: Path) -> None:
    at = 0
    while True:
        at += 1
        bundle = Bundle(tmp_path / str(at), "sample", KEY)
        build(bundle)
        (bundle.source / "package" / "model.onnx").write_text("damage!")
        if not killed(lambda bundle=bundle: build(bundle), at):  # type: ignore[misc]
            break
        present = [bundle.folder, *(bundle.home / "damaged").glob("*")]
        assert any(path.exists() for path in present)
        build(bundle)
        assert is_whole(bundle)
        assert leftovers(bundle.home) == []
    assert at > 15


def test_two_builds_of_one_key_follow_each_other_and_make_one_bundle(tmp_path: Path) -> None:
    bundle, inside, most = Bundle(tmp_path, "sample", KEY), [], []

    def work(number: int) -> None:
        with bundle_store.staging(bundle) as staging:
            inside.append(number)
            most.append(len(inside))
            bundle_store.place(built(staging / "made"), bundle)
            inside.remove(number)

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(work, number) for number in range(6)]:
            done.result()
    assert most == [1] * 6
    assert is_whole(bundle)
    assert leftovers(tmp_path) == []


def test_builds_of_different_keys_go_side_by_side(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def work(key: str) -> Bundle:
        bundle = Bundle(tmp_path, "sample", key)
        with bundle_store.staging(bundle) as staging:
            together.wait(timeout=20)  # both are inside; neither has removed the other's folder
            bundle_store.place(built(staging / "made", key=key), bundle)
        return bundle

    with ThreadPoolExecutor(2) as threads:
        assert all(map(is_whole, threads.map(work, (KEY, OTHER_KEY))))
    assert leftovers(tmp_path) == []


def test_a_bundle_that_is_there_as_sealed_stays_untouched(tmp_path: Path) -> None:
    bundle, log = Bundle(tmp_path, "sample", KEY), list[str]()
    build(bundle)
    before = bundle.folder.stat()
    build(bundle, log)
    assert bundle.folder.stat().st_ino == before.st_ino
    assert "it stays" in log[0]
    with pytest.raises(ServingError, match="sealed with another digest"):
        build(bundle, content="other weights")
    assert bundle.folder.stat().st_ino == before.st_ino
    assert is_whole(bundle)


def test_a_damaged_bundle_is_replaced_and_kept_for_who_runs_from_it(tmp_path: Path) -> None:
    bundle, log = Bundle(tmp_path, "sample", KEY), list[str]()
    build(bundle)
    digest = bundle.verify().digest
    damaged = bundle.folder.stat().st_ino
    (bundle.source / "package" / "model.onnx").write_text("damage!")
    build(bundle, log)
    assert bundle.verify().digest == digest
    (aside,) = (tmp_path / "damaged").iterdir()
    assert aside.stat().st_ino == damaged
    assert "was not as sealed" in log[0]
    assert str(aside) in log[0]


def test_half_of_a_bundle_of_an_earlier_version_does_not_exist(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path, "sample", KEY)
    built(bundle.folder)
    (bundle.folder / "manifest.json").unlink()
    assert not bundle.exists()
    build(bundle)
    assert bundle.exists()


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import small_package

    package = small_package.build(tmp_path / "package")
    request = BundleRequest(
        model="sample", version="1", key=KEY, package=str(package.folder), home=str(tmp_path / "home"),
        source_root=str(tmp_path), requirements=[], serving={},
    )  # fmt: skip
    bundle = Bundle(tmp_path / "home", "sample", KEY)

    def full(*_: object, **__: object) -> None:
        raise shutil.Error([("model.onnx", "model.onnx", f"[Errno {errno.ENOSPC}] No space left on device")])

    monkeypatch.setattr(shutil, "copytree", full)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(DiskFullError, match="no space left") as caught:
        stage.build(request, bundle)
    assert caught.value.next_step
    assert leftovers(bundle.home) == []
    assert not bundle.folder.exists()


@pytest.mark.parametrize(("facts", "refused"), [({"spec_format": 1}, False), ({"spec_format": 2}, True), ({}, True)])
def test_a_bundle_with_another_spec_format_is_refused(facts: dict[str, int], refused: bool, tmp_path: Path) -> None:
    bundle = Bundle(tmp_path, "sample", KEY)
    (bundle.source).mkdir(parents=True)
    manifest.seal(bundle.source, "bundle", facts)
    if not refused:
        bundle.require_spec_format()
        return
    with pytest.raises(ServingError, match="does not read the specs") as caught:
        bundle.require_spec_format()
    assert caught.value.got == f"spec format {facts.get('spec_format', 0)}"
