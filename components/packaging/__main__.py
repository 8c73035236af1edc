"""`python -m components.packaging REQUEST.json`: build one bundle."""

from __future__ import annotations

import sys

from components.core.stage_process import run

if __name__ == "__main__":
    sys.exit(run("packaging", "components.packaging.stage:main"))
