"""`python -m components.training.rank_process REQUEST.json`: one of the processes of a training.

Its number and the others' come from torchrun's environment variables. `rank_launcher` starts the ranks of one machine;
torchrun itself may start them too.
"""

from __future__ import annotations

import sys

from components.core.stage_process import run

sys.exit(run("training", "components.training.rank_training:main"))
