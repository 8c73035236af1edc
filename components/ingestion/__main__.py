"""`python -m components.ingestion data/<dataset>`."""

import sys

from components.core.stage_process import run

sys.exit(run("ingestion", "components.ingestion.stage:main"))
