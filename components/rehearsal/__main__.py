"""`python -m components.rehearsal REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("rehearsal", "components.rehearsal.stage:main"))
