"""Codes that open a server in a browser: good once, whoever is first; never when changed or late."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.access import cookie
from components.access import secret as secrets

SECRET = "not so secret"  # noqa: S105  # of this test
USE = "import sys; from pathlib import Path; from components.access import cookie\nsys.stdin.readline()\n" + (
    "print(cookie.use_code(sys.argv[1], sys.argv[2], Path(sys.argv[3])))"
)


def test_a_code_is_good_once(tmp_path: Path) -> None:
    code = cookie.new_code(SECRET)
    assert cookie.use_code(code, SECRET, tmp_path / "used")
    assert not cookie.use_code(code, SECRET, tmp_path / "used")
    assert (tmp_path / "used").stat().st_mode & 0o777 == 0o700
    assert cookie.use_code(cookie.new_code(SECRET), SECRET, tmp_path / "used")


def test_of_threads_and_processes_one_gets_in(tmp_path: Path) -> None:
    code = cookie.new_code(SECRET)
    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(lambda _: cookie.use_code(code, SECRET, tmp_path), range(64))) == 1
    code = cookie.new_code(SECRET)
    words = [sys.executable, "-c", USE, code, SECRET, str(tmp_path)]
    several = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    time.sleep(0.5)
    for process in several:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in several]
    assert sorted(said) == ["False", "False", "True"]


def test_late_early_and_changed_codes(tmp_path: Path) -> None:
    now = time.time()
    assert not cookie.use_code(cookie.new_code(SECRET, now - cookie.CODE_SECONDS - 1), SECRET, tmp_path)
    assert not cookie.use_code(cookie.new_code(SECRET, now + 3600), SECRET, tmp_path)  # of a clock that was put back
    code = cookie.new_code(SECRET)
    expires, nonce, signature = code.split(".")
    for changed in (
        "", ".", code[:-1], code + "0", code.upper(), f"{int(expires) + 1}.{nonce}.{signature}",
        f"{expires}.{nonce[::-1]}.{signature}", f"../../x.{signature}", f"{expires}.{nonce}.\ud800", "\0",
        "gehe\u00efm",
        f"{expires}.{nonce}.{secrets.sign(SECRET, 'cookie', f'{expires}.{nonce}')}",
    ):  # fmt: skip
        assert not cookie.use_code(changed, SECRET, tmp_path), changed
    assert cookie.use_code(code, SECRET, tmp_path)


def test_used_codes_are_forgotten_once_they_are_late(tmp_path: Path) -> None:
    (tmp_path / f"{int(time.time()) - 1}.aa").touch()
    (tmp_path / "something-else").touch()
    cookie.use_code(cookie.new_code(SECRET), SECRET, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cookie_is_of_one_user_and_one_secret() -> None:
    assert cookie.holder(cookie.issue(SECRET, 1000), SECRET) == "1000"
    assert cookie.holder(cookie.issue(SECRET, None), SECRET) == "any"
    assert cookie.holder(cookie.issue(SECRET, 1000), SECRET + "x") is None
    assert cookie.holder("\ud800", SECRET) is None
