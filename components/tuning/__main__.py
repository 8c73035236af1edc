"""`python -m components.tuning REQUEST.json`"""

import sys

from components.core.stage_process import run

sys.exit(run("tuning", "components.tuning.stage:main"))
