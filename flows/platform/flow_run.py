"""`python -m flows.platform.flow_run ENTRYPOINT`: Prefect's engine, with the flow that the command names.

The entry point stands in the command and not in the environment, which a deployment may add to.
"""

from __future__ import annotations

import os
import runpy
import sys


def main() -> None:
    """Run the flow run that Prefect's worker names in the environment."""
    os.environ["PREFECT__FLOW_ENTRYPOINT"] = sys.argv.pop(1)
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
