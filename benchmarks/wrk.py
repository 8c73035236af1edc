"""wrk (Debian's package of that name): load on a URL from outside this process, in C."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
# The summary in numbers: requests, microseconds, errors; and a pause of each connection between two requests.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "{media}"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
{pause}
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("FIGURES %d %d %f %f %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Measured:
    """What wrk measured: requests a second, percentiles of the latency in milliseconds, requests."""

    rate: float
    p50_ms: float
    p99_ms: float
    requests: int


def post(
    url: str, body: Path, media: str, seconds: float, *, connections: int = CONNECTIONS, rate: float | None = None
) -> Measured:
    """POST a file's bytes over keep-alive connections for some seconds.

    Args:
        rate: requests a second of all connections together, at most; None: as many as are answered.

    Raises:
        SystemExit: wrk is not there, or a request was not answered with 2xx or 3xx.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is not here; on Debian: apt-get install wrk")
    pause = "" if rate is None else f"function delay() return {round(1000 * connections / rate)} end"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(media=media, body=body, pause=pause))
        script.flush()
        length = f"{max(1, round(seconds))}s"
        words = [program, "-t1", f"-c{connections}", f"-d{length}", "--timeout", "20s", "-s", script.name, url]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"FIGURES (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", said)
    if found is None or int(found[5]):
        raise SystemExit(f"requests to {url} failed:\n{said}")
    requests, microseconds = int(found[1]), int(found[2])
    return Measured(1e6 * requests / microseconds, float(found[3]) / 1000, float(found[4]) / 1000, requests)
