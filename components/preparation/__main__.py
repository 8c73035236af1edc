"""`python -m components.preprocessing data/<dataset> [--accept]`."""

import sys

from components.contracts.stage_process import run

sys.exit(run("preprocessing", "components.preprocessing.stage:main"))
