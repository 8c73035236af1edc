"""`python -m components.comparison REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("comparison", "components.comparison.stage:main"))
