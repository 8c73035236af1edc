"""`python -m flows.platform.flow_run ENTRYPOINT`: runs Prefect's engine with the entry point of the command line.

The entry point is not read from the environment, because a deployment can add to the environment. The work pool runs
four flows, the pipeline, gc, scoring and the monitor; the name of the run's flow chooses among these constants.
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import sys

RETENTION_FLOW = "flows/retention/flow.py:collect"
RETENTION_FLOW_NAME = "retention"
SCORE_FLOW = "flows/scoring/flow.py:score"
SCORE_FLOW_NAME = "score"
MONITOR_FLOW = "flows/monitoring/flow.py:monitor"
MONITOR_FLOW_NAME = "monitor"
FLOWS = {RETENTION_FLOW_NAME: RETENTION_FLOW, SCORE_FLOW_NAME: SCORE_FLOW, MONITOR_FLOW_NAME: MONITOR_FLOW}


def main() -> None:
    """Run the flow run that Prefect's worker names in the environment."""
    atexit.register(gc.freeze)  # else Python looks for cycles in all that was imported before it ends: 0.7 s
    entrypoint = sys.argv.pop(1)
    entrypoint = FLOWS.get(_flow_name() or "", entrypoint)
    os.environ["PREFECT__FLOW_ENTRYPOINT"] = entrypoint
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def _flow_name() -> str | None:
    """The name of this run's flow; None if Prefect does not answer."""
    from components.core.errors import StackError
    from components.core.project import Project
    from flows.platform import connections
    from flows.platform.prefect_client import PrefectClient

    run, url = os.environ.get("PREFECT__FLOW_RUN_ID"), os.environ.get("PREFECT_API_URL")
    if not run or not url:
        return None
    try:
        with PrefectClient(connections.of(Project.find()).prefect.credentials, url) as prefect:
            flow_id = prefect.request("GET", f"/flow_runs/{run}")["flow_id"]
            return str(prefect.request("GET", f"/flows/{flow_id}")["name"])
    except (StackError, ValueError, KeyError) as error:
        print(f"the flow's name could not be read from Prefect: {error}", file=sys.stderr, flush=True)
        return None


if __name__ == "__main__":
    main()
