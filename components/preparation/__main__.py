"""`python -m components.preparation data/<dataset> [--accept]`."""

import sys

from components.core.stage_process import run

sys.exit(run("preparation", "components.preparation.stage:main"))
