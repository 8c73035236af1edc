"""`python -m components.training.slurm_rank_process REQUEST.json`: one of the ranks that srun starts on each node.

The rank, and where the ranks meet, come from Slurm's variables and those of `slurm_rank_launcher`; they are handed on
under the names that torchrun uses. Ranks but the first write to a file beside the request, so that the job's output is
that of one process.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from components.core import stage_process
from components.core.errors import ModelyardError
from components.training.rank_files import error_file, log_file

PORT = "MODELYARD_RANKS_PORT"  # of the store through which the ranks find each other, on the node that runs srun
ADDRESSES = "MODELYARD_RANKS_ADDRESSES"  # of the nodes, in Slurm's configuration

LONGEST = 500  # characters of an error that is passed on


def environment(folder: Path, slurm: dict[str, str]) -> dict[str, str]:
    """The variables of a rank.

    Args:
        folder: of the request.
        slurm: the variables of its process, as srun sets them.
    """
    rank, master = int(slurm["SLURM_PROCID"]), slurm["SLURM_LAUNCH_NODE_IPADDR"]
    local_size = int(slurm["SLURM_STEP_TASKS_PER_NODE"].partition("(")[0])  # "2(x4)": as many on each node
    found = {
        "RANK": str(rank),
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "WORLD_SIZE": slurm["SLURM_STEP_NUM_TASKS"],
        "LOCAL_WORLD_SIZE": str(local_size),
        "MASTER_ADDR": master,
        "MASTER_PORT": slurm[PORT],
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is the launcher's; no rank starts one
        "TORCH_CPP_LOG_LEVEL": slurm.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        stage_process.ERROR_FILE: str(error_file(folder, rank)),
    }
    # A name of this node may lead to its loopback interface, which gloo would take then.
    addresses = [master, *filter(None, slurm.get(ADDRESSES, "").split(","))]
    if "GLOO_SOCKET_IFNAME" not in slurm and (name := interface(addresses)) is not None:
        found["GLOO_SOCKET_IFNAME"] = name
    if rank > 0:
        found[stage_process.OUTPUT_FILE] = str(log_file(folder, rank))
    return found


def interface(addresses: Iterable[str]) -> str | None:
    """The network interface that leads to other nodes; the loopback interface only if no address leads elsewhere."""
    import psutil

    names = {
        address.address.partition("%")[0]: name
        for name, found in psutil.net_if_addrs().items()
        for address in found
        if address.family in (socket.AF_INET, socket.AF_INET6)
    }
    sources = [source for address in addresses if (source := _source(address)) is not None]
    sources.sort(key=lambda source: ipaddress.ip_address(source).is_loopback)
    return next((names[source] for source in sources if source in names), None)


def _source(address: str) -> str | None:
    """The address from which this machine sends to another one; nothing is sent."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


def main() -> int:
    """Train as one of the ranks; returns the exit code."""
    os.environ.update(environment(Path(sys.argv[1]).absolute().parent, dict(os.environ)))
    if stage_process.OUTPUT_FILE in os.environ:
        Path(os.environ[stage_process.OUTPUT_FILE]).touch()
    try:
        return stage_process.run("training", "components.training.rank_training:main")
    except Exception as error:  # noqa: BLE001  # its output is a file, and the launcher shows it
        # The others notice this within milliseconds, and srun may end this process before it has ended by itself.
        traceback.print_exc()
        failed = ModelyardError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} of the training failed",
            where=f"node {os.environ.get('SLURMD_NODENAME', '')}",
            got=f"{type(error).__name__}: {error}"[:LONGEST],
            next_step="read its output above",
        )
        Path(os.environ[stage_process.ERROR_FILE]).write_text(json.dumps(failed.to_dict()))
        return failed.exit_code


if __name__ == "__main__":
    sys.exit(main())
