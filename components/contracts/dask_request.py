"""What a stage gets from its caller if its parts are tasks of a Dask cluster."""

from __future__ import annotations

from components.contracts.runner_spec import DaskSpec
from components.core.strict import Strict


class DaskRequest(Strict):
    """The cluster, and the code for workers of an existing one.

    Args:
        code: folder with a sealed copy of the code, which the workers see; None for a cluster on this machine.
    """

    cluster: DaskSpec
    code: str | None = None
