"""The Containerfile and the labels of a bundle's image.

Two stages on the same base: the first installs the libraries from wheels, without a network; the second holds the
environment and the Bento, nothing else. The process has a fixed uid and writes below /tmp alone, so that the image
runs on a read-only root file system without capabilities.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from components.core.errors import UsageError
from components.packaging.archive import ArchiveFacts

CONTAINERFILE = "Containerfile"
DEFAULT_BASE = "docker.io/library/python:3.11-slim-bookworm"
UID = 1034
PORT = 3000
EVERYWHERE = "0.0.0.0"  # noqa: S104  # of the container's own network
ENVIRONMENT, BENTO = "/app", "/srv/bento"
SBOM = f"{BENTO}/src/sbom.cdx.json"
_OURS = "io.modelyard"
_STANDARD = "org.opencontainers.image"


def labels(facts: ArchiveFacts, archive_digest: str, base: str, base_id: str) -> dict[str, str]:
    """Labels by name: the standard ones, and the digests of everything that the image was made of.

    Args:
        base_id: digest of the base image, as the tool knows it.
    """
    return {
        f"{_STANDARD}.title": facts.model,
        f"{_STANDARD}.version": facts.version,
        f"{_STANDARD}.description": f"{facts.model} version {facts.version}, served by Modelyard",
        f"{_STANDARD}.base.name": base,
        f"{_STANDARD}.base.digest": base_id,
        f"{_OURS}.bundle": facts.bundle,
        f"{_OURS}.bundle-digest": facts.bundle_digest,
        f"{_OURS}.package-digest": facts.package_digest,
        f"{_OURS}.data-digest": facts.data_digest,
        f"{_OURS}.archive-digest": archive_digest,
        f"{_OURS}.sbom": SBOM,
    }


def containerfile(base: str, label_values: Mapping[str, str]) -> str:
    """The Containerfile for a context that is an unpacked archive with wheels.

    Raises:
        UsageError: the base is no name of an image.
    """
    if re.fullmatch(r"[\w./:@-]+", base) is None:
        raise UsageError("not the name of an image", got=repr(base), expected="--base [HOST/]NAME[:TAG][@DIGEST]")
    label_lines = " \\\n      ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(label_values.items())
    )
    health = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/livez', timeout=4)"
    start = [f"{ENVIRONMENT}/bin/python", "-P", f"{BENTO}/src/serving/start.py", BENTO]
    return f"""\
FROM {base} AS build
COPY bento {BENTO}
RUN --mount=type=bind,source=.,target=/archive \\
    export PYTHONDONTWRITEBYTECODE=1 PIP_CONFIG_FILE=/dev/null PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore && \\
    python=$(command -v python3.11 || command -v python3) && \\
    $python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "the base image needs Python 3.11")' && \\
    $python -m venv {ENVIRONMENT} && \\
    {ENVIRONMENT}/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \\
      --no-compile --no-index --find-links /archive/wheels -r {BENTO}/env/python/requirements.txt && \\
    {ENVIRONMENT}/bin/python -m pip uninstall --quiet --yes setuptools pip && \\
    {ENVIRONMENT}/bin/python -P /archive/precompile.py {BENTO}

FROM {base}
COPY --from=build {ENVIRONMENT} {ENVIRONMENT}
COPY --from=build {BENTO} {BENTO}
ENV PATH={ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp USER=modelyard BENTOML_HOME=/tmp/bentoml \\
    BENTOML_DO_NOT_TRACK=True ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER {UID}:{UID}
EXPOSE {PORT}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \\
    CMD {json.dumps([start[0], "-c", health])}
LABEL {label_lines}
ENTRYPOINT {json.dumps(start)}
CMD {json.dumps(["--host", EVERYWHERE, "--port", str(PORT)])}
"""


def run_command(tool: str, tag: str) -> str:
    """How a person runs the image on this machine, as a cluster would."""
    limits = "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
    return f"{tool} run {limits} -p 127.0.0.1:{PORT}:{PORT} {tag}"
