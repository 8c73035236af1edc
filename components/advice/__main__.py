"""`python -m components.advice REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("advice", "components.advice.stage:main"))
