"""What an archive brings for the machine on which it is unpacked: a README, and scripts that install and serve."""

from __future__ import annotations

from pathlib import Path

PRECOMPILE = Path(__file__).with_name("precompile.py")

# Without pip and setuptools, which serve nothing, an environment is 24 MB smaller; `precompile.py` says what compiling
# costs.
INSTALL = """\
#!/bin/sh
# sh install.sh [ENVIRONMENT]: install what the bundle needs into a new virtual environment (default: ./venv).
# Every file is compared with its hash. With wheels/ nothing is downloaded. PYTHON names another interpreter.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
environment=${1:-"$here/venv"}
python=${PYTHON:-python3.11}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "Python 3.11 is needed; name it: PYTHON=/path/to/python3.11 sh install.sh" >&2
  exit 1
}
"$python" -m venv "$environment"
wheels=
if [ -d "$here/wheels" ]; then
  wheels=yes
  # Neither an index nor folders that the machine's own configuration of pip names.
  PIP_CONFIG_FILE=/dev/null
  export PIP_CONFIG_FILE
  unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL
fi
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \\
  --no-compile ${wheels:+--no-index --find-links "$here/wheels"} -r "$here/bento/env/python/requirements.txt"
"$environment/bin/python" -m pip uninstall --quiet --yes setuptools pip
"$environment/bin/python" -P "$here/precompile.py" "$here/bento"
echo "installed in $environment"
"""

SERVE = """\
#!/bin/sh
# sh serve.sh [--host HOST] [--port PORT]: serve the bundle until SIGTERM or Ctrl-C (default: 127.0.0.1, port 3000).
# MODELYARD_ENVIRONMENT names the virtual environment (default: ./venv, which install.sh makes).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
environment=${MODELYARD_ENVIRONMENT:-"$here/venv"}
test -x "$environment/bin/python" || { echo "no environment at $environment: run sh install.sh first" >&2; exit 1; }
if [ -z "${BENTOML_HOME:-}" ]; then
  BENTOML_HOME=$(mktemp -d)
  export BENTOML_HOME
fi
export BENTOML_DO_NOT_TRACK=True ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1
exec "$environment/bin/python" -P "$here/bento/src/serving/start.py" "$here/bento" "$@"
"""


def readme(model: str, version: str, tag: str, platform: str | None) -> str:
    """The README of an archive.

    Args:
        platform: for which the wheels are; None: there are none.
    """
    libraries = (
        f"`wheels/` holds every library, for {platform}: nothing is downloaded."
        if platform
        else "The libraries are downloaded from the package index that pip is configured with."
    )
    return f"""\
# {model}, version {version}

The bundle `{tag}`. Python 3.11 is needed. {libraries}

    sh install.sh
    sh serve.sh --host 127.0.0.1 --port 3000

`install.sh` does the same as

    python3.11 -m venv venv
    venv/bin/pip install --no-deps {"--no-index --find-links wheels " if platform else ""}--require-hashes \\
      -r bento/env/python/requirements.txt

The service answers at `/predict`; `/readyz` says when it is ready, `/docs.json` what it takes. `bento/README.md` is the
model card, `bento/src/sbom.cdx.json` (CycloneDX) and `bento/src/licences.txt` list what it is made of. `manifest.json`
names the sha256 of every file; `modelyard verify` compares them.
"""
