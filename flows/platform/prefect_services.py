"""`python -m flows.platform.prefect_services`: the background services of Prefect, beside two API servers.

The scheduler, the automations and what else `prefect server services start` runs: once for all API servers. The process
touches a file each second from the event loop that the services run on, so that a loop that hangs is seen.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from components.access import redis_owner, server_database, server_redis
from components.core import atomic
from components.core.errors import ModelyardError
from components.core.project import Project
from flows.platform import prefect_server, state

NAME = "prefect-services"
BEAT_SECONDS = 1.0
OLDEST_SECONDS = 15.0
CLAIM_SECONDS = 30.0


def are_alive(project: Project, pid: int) -> bool:
    """Whether the services of a process have given a sign of life within the last seconds."""
    path = _heartbeat(project)
    try:
        # The absolute age, because the clock may have been set back since.
        return path.read_text() == str(pid) and abs(time.time() - path.stat().st_mtime) < OLDEST_SECONDS
    except FileNotFoundError:
        return False


def _heartbeat(project: Project) -> Path:
    return state.folder(project) / "prefect-services.seen"


async def _beat(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, str(os.getpid()))
    while True:
        path.touch()
        await asyncio.sleep(BEAT_SECONDS)


async def _keep_redis(project: Project, period_seconds: float = CLAIM_SECONDS) -> None:
    """Claim the Redis time and again: one that was emptied, or started anew without its data, is nobody's.

    What `modelyard.toml` says later is of the next start: this process goes on with the servers that it has.

    Raises:
        ForeignRedisError: another Prefect has taken it.
    """
    address, where = server_redis.url(project), server_redis.named(project)
    database, named = server_database.url(project, "prefect", "postgresql"), server_database.named(project, "prefect")
    own: redis_owner.Owner | None = None
    while True:
        try:
            if own is None:
                own = await asyncio.to_thread(redis_owner.of_database, database, named)
            await asyncio.to_thread(redis_owner.write, address, where, own)
        except redis_owner.ForeignRedisError:
            raise
        except ModelyardError as error:
            print(f"the Redis could not be claimed: {error}", file=sys.stderr, flush=True)
        await asyncio.sleep(period_seconds)


async def _run(project: Project) -> None:
    from prefect.cli._server_utils import _run_all_services  # what `prefect server services start` runs

    services = asyncio.create_task(_run_all_services())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, services.cancel)
    beside = [asyncio.create_task(_beat(_heartbeat(project))), asyncio.create_task(_keep_redis(project))]
    beside[1].add_done_callback(lambda keeping: keeping.cancelled() or keeping.exception() is None or services.cancel())
    try:
        await services
    except asyncio.CancelledError:
        if beside[1].done():
            beside[1].result()  # why they were ended
        return
    finally:
        for task in beside:
            task.cancel()


def main() -> None:
    """Run the services until SIGTERM."""
    project = Project.find()
    os.environ.update(prefect_server.variables(project))  # before Prefect is imported, which reads them once
    prefect_server.require_own_redis(project)
    asyncio.run(_run(project))


if __name__ == "__main__":
    main()
