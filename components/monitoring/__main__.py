"""`python -m components.monitoring REQUEST`, with an `UpkeepRequest` as JSON."""

import sys

from components.core.stage_process import run

sys.exit(run("monitoring", "components.monitoring.upkeep:main"))
