"""`python -m components.training REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("training", "components.training.stage:main"))
