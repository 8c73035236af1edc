"""`python ready.py URL PACKAGE_DIGEST SECONDS`: wait until a service answers with this package.

`modelyard deploy --target systemd` copies this file beside the units. During a replacement two bundles accept the
connections of one socket, and `/readyz` may be answered by the old one, so the package of an answer is looked at. A
service that shows `/model` to holders of a key only (401, 403) counts as ready once it is ready. It stands alone.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request

PACKAGE_HEADER = "X-Modelyard-Package"
PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 3.0
KEY_NEEDED = (401, 403)


def is_ready(url: str, package: str) -> bool:
    """Whether the service is ready, and the answer to this request came from the package."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=PATIENCE_SECONDS):  # noqa: S310  # the unit's own URL
            pass
        with urllib.request.urlopen(f"{url}/model", timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            return bool(answer.headers.get(PACKAGE_HEADER) == package)
    except urllib.error.HTTPError as refusal:
        return refusal.code in KEY_NEEDED
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """The exit code: 0 once it is ready, 1 after the given time."""
    url, package, seconds = arguments
    end = time.monotonic() + float(seconds)
    while not is_ready(url, package):
        if time.monotonic() > end:
            print(f"{url} does not answer with package {package[:12]} after {seconds} s", file=sys.stderr)
            return 1
        time.sleep(PAUSE_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
