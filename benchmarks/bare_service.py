"""The service's own application under bare uvicorn, one process, without BentoML: what the bundle is compared with.

python -m benchmarks.bare_service BUNDLE_SOURCE PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvicorn

from serving.app import ModelApp
from serving.worker import Worker


def main(source: Path, port: int) -> None:
    """Serve the package of a bundle's source folder until terminated."""
    app = ModelApp()
    app.serve(Worker(source, None, threads=len(os.sched_getaffinity(0))))
    uvicorn.run(app.asgi, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
