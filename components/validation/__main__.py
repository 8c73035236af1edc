"""`python -m components.validation raw|prepared data/<dataset>`."""

import sys

from components.core.stage_process import run

sys.exit(run("validation", "components.validation.stage:main"))
