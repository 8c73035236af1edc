"""`python -m components.gates REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("gates", "components.gates.stage:main"))
