"""`python -m components.scoring REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

if __name__ == "__main__":  # worker processes import this module under another name
    sys.exit(run("scoring", "components.scoring.stage:main"))
