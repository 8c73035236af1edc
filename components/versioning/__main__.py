"""The DVC stage `code`: `python -m components.versioning data/<dataset>` writes `data/.code/<dataset>/<stage>.json`."""

import sys

from components.core.stage_process import run

sys.exit(run("versioning", "components.versioning.stage_code:main"))
