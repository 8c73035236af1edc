"""`python -m components.monitoring REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("monitoring", "components.monitoring.stage:main"))
