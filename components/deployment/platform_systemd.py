"""Units of systemd 250 or later for the platform: Prefect's servers, MLflow, and the project's own programs.

PostgreSQL, Redis and the S3 store are the ones that the machine, or the team, has; `platform.env` names them. Two API
servers of Prefect accept connections from one socket, which systemd holds: where one is killed the other goes on, and
where both are, connections wait. The runner, the controller, the console and the model services are one unit, since
they are the programs of one stack: its supervisor restarts each, and the controller starts and ends services in it.
"""

from __future__ import annotations

from components.deployment import platform_scripts as scripts
from components.deployment.platform_scripts import MLFLOW_PORT, PREFECT_PORT
from components.deployment.platform_systemd_readme import MODELYARD_TOML, README
from components.deployment.systemd_hardening import ALONE, COMMON

FOLDER = "platform"
CODE = "/opt/modelyard/platform"  # a clone in which `make install` ran; root's
BIN = "/opt/modelyard/bin"
PROJECT = "/srv/modelyard"  # the project's clone
CONFIGURATION = "/etc/modelyard"
SERVERS_USER, PROJECT_USER = "modelyard-servers", "modelyard"
TARGET, PROJECT_UNIT = "modelyard.target", "modelyard-project.service"
MIGRATIONS, SOCKET = "modelyard-migrations.service", "modelyard-prefect.socket"
LOOPBACK = "127.0.0.1"
ENVIRONMENT = f"""# Where the platform's servers keep what they know; passwords are files in {CONFIGURATION}/secrets.
DATABASE={LOOPBACK}:5432
REDIS={LOOPBACK}:6379/0
# With TLS, as for servers on other machines; the files are readable for all, below {CONFIGURATION}:
# PGSSLMODE=verify-full
# PGSSLROOTCERT={CONFIGURATION}/postgresql-ca.pem
# REDIS_TLS=yes
# REDIS_CA={CONFIGURATION}/redis-ca.pem
ARTIFACTS=s3://mlflow
AWS_DEFAULT_REGION=us-east-1
# A store other than Amazon's:
# MLFLOW_S3_ENDPOINT_URL=https://s3.example
# MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE=path
"""
_WAIT = f"""#!/bin/sh
# Wait until both servers answer: the project's programs end where one does not.
set -eu
exec python - <<'END'
import time
import urllib.request

for url in ("http://{LOOPBACK}:{PREFECT_PORT}/api/health", "http://{LOOPBACK}:{MLFLOW_PORT}/health"):
    while True:
        try:
            urllib.request.urlopen(url, timeout=60)
            break
        except OSError:
            time.sleep(1)
END
"""


def files() -> dict[str, str]:
    """The units, the scripts that they start, their users and settings, and a README, below `platform/`."""
    start = "python -m uvicorn --factory prefect.server.api.server:create_app --fd 3 --no-access-log"
    prefect = {**scripts.PREFECT, "PREFECT_HOME": "/tmp/prefect", "PREFECT_UI_STATIC_DIRECTORY": "/tmp/prefect/ui"}  # noqa: S108
    api = {
        **prefect,
        "PREFECT__SERVER_WEBSERVER_ONLY": "1",  # what `prefect server start --no-services` sets
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_API_URL": f"http://{LOOPBACK}:{PREFECT_PORT}/api",
        "PREFECT_UI_API_URL": "/api",
    }
    hosts = f"{LOOPBACK}:{MLFLOW_PORT},localhost:{MLFLOW_PORT}"
    found = {
        TARGET: _target(),
        MIGRATIONS: _migrations(prefect),
        SOCKET: _socket(),
        "modelyard-prefect-api@.service": _server(
            "Prefect, API server %i (Modelyard)", "prefect-api", api, scripts.OF_PREFECT, f"Sockets={SOCKET}\n"
        ),
        "modelyard-prefect-services.service": _server(
            "Prefect, background services (Modelyard)", "prefect-services", prefect, scripts.OF_SERVICES
        ),
        "modelyard-mlflow.service": _server("MLflow (Modelyard)", "mlflow", scripts.MLFLOW, scripts.OF_MLFLOW),
        PROJECT_UNIT: _project(),
        "modelyard-platform.conf": (
            f'u {SERVERS_USER} - "Servers of Modelyard" - -\nu {PROJECT_USER} - "Modelyard" {PROJECT} -\n'
        ),
        "bin/migrate": _script(scripts.migrate()),
        "bin/prefect-api": _script(scripts.prefect_api(start)),
        "bin/prefect-services": _script(scripts.prefect_services()),
        "bin/mlflow": _script(scripts.mlflow(LOOPBACK, hosts)),
        "bin/wait-for-servers": _WAIT,
        "platform.env": ENVIRONMENT,
        "modelyard.toml": MODELYARD_TOML,
        "README.md": README,
    }
    return {f"{FOLDER}/{name}": text for name, text in found.items()}


def _script(text: str) -> str:
    return f"#!/bin/sh\nset -eu\n{text}"


def _variables(values: dict[str, str]) -> str:
    return "".join(f"Environment={key}={value}\n" for key, value in values.items())


def _credentials(names: tuple[str, ...]) -> str:
    return "".join(f"LoadCredential={name}:{CONFIGURATION}/secrets/{name}\n" for name in names)


def _target() -> str:
    units = [
        "modelyard-prefect-api@1.service", "modelyard-prefect-api@2.service", "modelyard-prefect-services.service",
        "modelyard-mlflow.service", PROJECT_UNIT,
    ]  # fmt: skip
    return f"""[Unit]
Description=The Modelyard platform
Wants={" ".join(units)}

[Install]
WantedBy=multi-user.target
"""


def _socket() -> str:
    return f"""[Unit]
Description=The address of both API servers of Prefect (Modelyard)
PartOf={TARGET}

[Socket]
ListenStream={LOOPBACK}:{PREFECT_PORT}
# Which server a connection starts where none runs; both accept from this socket.
Service=modelyard-prefect-api@1.service
"""


def _common(secrets: tuple[str, ...]) -> str:
    """Of every unit that runs as the servers' user."""
    return (
        f"User={SERVERS_USER}\nWorkingDirectory={CODE}\nEnvironmentFile={CONFIGURATION}/platform.env\n"
        f"Environment=PATH={CODE}/.venv/bin:/usr/bin:/bin\n"
        "Environment=HOME=/tmp/home PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n"
        f"{_variables(scripts.QUIET)}{_credentials(secrets)}"
    )


def _migrations(variables: dict[str, str]) -> str:
    return f"""[Unit]
Description=Tables of Prefect and MLflow (Modelyard)
PartOf={TARGET}
Wants=network-online.target
After=network-online.target postgresql.service redis-server.service
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={BIN}/migrate
{_common(scripts.OF_MIGRATIONS)}{_variables(variables)}Restart=on-failure
RestartSec=5
TimeoutStartSec=900

{COMMON}{ALONE}"""


def _server(description: str, script: str, variables: dict[str, str], secrets: tuple[str, ...], more: str = "") -> str:
    socket = f" {SOCKET}" if more else ""
    return f"""[Unit]
Description={description}
PartOf={TARGET}
Requires={MIGRATIONS}{socket}
After={MIGRATIONS}{socket} network-online.target postgresql.service redis-server.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={BIN}/{script}
{more}{_common(secrets)}{_variables(variables)}Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec=30

# Resources
MemoryHigh=2G
MemoryMax=3G
TasksMax=512
LimitNOFILE=65536

{COMMON}{ALONE}"""


def _project() -> str:
    return f"""[Unit]
Description=Runner, controller, console and model services (Modelyard)
PartOf={TARGET}
Wants=modelyard-prefect-services.service modelyard-mlflow.service
After=modelyard-prefect-api@1.service modelyard-prefect-api@2.service modelyard-prefect-services.service \\
    modelyard-mlflow.service
StartLimitIntervalSec=0

[Service]
# `modelyard up` leaves a supervisor, which restarts what ends; a guardian restarts the supervisor.
Type=oneshot
RemainAfterExit=yes
ExecStartPre={BIN}/wait-for-servers
ExecStart={CODE}/.venv/bin/modelyard up
ExecStop={CODE}/.venv/bin/modelyard down
User={PROJECT_USER}
WorkingDirectory={PROJECT}
ReadWritePaths={PROJECT}
Environment=PATH={CODE}/.venv/bin:/usr/bin:/bin
Environment=HOME={PROJECT} PYTHONPATH={PROJECT} MODELYARD_PROJECT={PROJECT}
{_credentials(("prefect-login", "mlflow-login"))}Restart=on-failure
RestartSec=5
TimeoutStartSec=900
TimeoutStopSec=180

{COMMON}
[Install]
WantedBy={TARGET}
"""
