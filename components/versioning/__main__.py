"""The DVC stage `code`: `python -m components.versioning` writes `data/.code/<stage>.json`."""

import sys

from components.contracts.stage_process import run

sys.exit(run("versioning", "components.versioning.stage_code:main"))
