"""A real Slurm cluster of two nodes on this machine, in a temporary folder: munged, slurmctld, two slurmd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
INSTALL = "apt-get install slurm-wlm munge, and run as root"

_CONFIG = """ClusterName=yard
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000
KillWait=5
SlurmdTimeout=30
BatchStartTimeout=10
MinJobAge=300
RebootProgram=/bin/true
NodeName=yard1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=4000 State=UNKNOWN
NodeName=yard2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=4000 State=UNKNOWN
PartitionName=train Nodes=yard1,yard2 Default=YES MaxTime=1:00:00 State=UP
"""


def missing() -> str | None:
    """Why there can be no cluster here; None if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found: {INSTALL}"
    return None if os.geteuid() == 0 else f"not root: {INSTALL}"


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """Run the cluster; its configuration, which SLURM_CONF names meanwhile.

    Args:
        folder: with a short path, as it has sockets.
    """
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    config = folder / "slurm.conf"
    config.write_text(_CONFIG.format(host=socket.gethostname().split(".")[0], ports=ports, folder=folder))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munge = [
        "munged", "--force", "--foreground", f"--socket={folder}/munge.socket", f"--key-file={key}",
        f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
    ]  # fmt: skip
    environment = {**os.environ, "SLURM_CONF": str(config)}
    before = os.environ.get("SLURM_CONF")
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> None:
        quiet = subprocess.DEVNULL
        processes.append(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True))

    try:
        start(munge)
        _eventually(lambda: (folder / "munge.socket").exists())
        start(["slurmctld", "-D", "-f", str(config)])
        for node in ("yard1", "yard2"):
            start(["slurmd", "-D", "-N", node, "-f", str(config)])
        os.environ["SLURM_CONF"] = str(config)
        _eventually(lambda: _idle() == 2)
        yield config
    finally:
        subprocess.run(["scancel", "--me"], env=environment, capture_output=True)
        for process in reversed(processes):
            process.terminate()
        for process in reversed(processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _idle() -> int:
    found = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True)
    return found.stdout.split().count("idle")


def _eventually(done: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError("the cluster did not start")
        time.sleep(0.1)
