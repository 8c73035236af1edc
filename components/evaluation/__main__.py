"""`python -m components.evaluation REQUEST.json`."""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("evaluation", "components.evaluation.stage:main"))
