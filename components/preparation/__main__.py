"""`python -m components.preparation data/<dataset> [--accept]`."""

import sys

from components.contracts.stage_process import run

sys.exit(run("preparation", "components.preparation.stage:main"))
