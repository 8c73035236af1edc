"""`python -P serving/start.py BUNDLE --host HOST --port PORT`: `bentoml serve`, without its control ports on TCP.

BentoML's process manager (circus) opens two TCP ports on loopback, over which any user of the machine may have it
start programs. Here they are Unix sockets in a folder of this user alone. All other words go to `bentoml serve`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

CHECK_SECONDS = 1.0  # between two looks at the workers: one that was killed is started again; BentoML looks each 10

DRAIN_SECONDS = 60.0  # after SIGTERM, for a worker to answer what it was asked; BentoML gives 30


def close_control_ports(folder: Path) -> None:
    """Replace the function with which BentoML makes its process manager; `folder` holds the sockets instead.

    Raises:
        AttributeError: BentoML has no such function any more; then its control ports must be closed another way.
    """
    from bentoml._internal.utils import circus

    circus.create_standalone_arbiter  # noqa: B018  # it must be there

    def create(watchers: list[Any], *, threaded: bool = False, **settings: Any) -> Any:
        for watcher in watchers:
            watcher.graceful_timeout = DRAIN_SECONDS
        kind = circus.ThreadedArbiter if threaded else circus.Arbiter
        return kind(
            watchers,
            endpoint=f"ipc://{folder / 'control'}",
            pubsub_endpoint=f"ipc://{folder / 'events'}",
            check_delay=CHECK_SECONDS,
            **{name: value for name, value in settings.items() if name != "check_delay"},
        )

    circus.create_standalone_arbiter = create


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-"))  # mode 0700; short, as the path of a socket must be
    try:
        close_control_ports(folder)
        from bentoml_cli.cli import create_bentoml_cli

        create_bentoml_cli()(args=["serve", *sys.argv[1:]], prog_name="bentoml")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
