"""How long a service may take to end, so that no accepted request is lost. A test compares this with `serving`."""

from __future__ import annotations

# serving/start.py gives a worker 60 s after SIGTERM; serving/drain.py closes silent connections after 6 s of them.
DRAIN_SECONDS = 60
ENDPOINT_REMOVAL_SECONDS = 5  # after it, no proxy sends new connections to a pod that ends
MARGIN_SECONDS = 10
TERMINATION_SECONDS = ENDPOINT_REMOVAL_SECONDS + DRAIN_SECONDS + MARGIN_SECONDS
