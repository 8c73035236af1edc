"""Units for a plain server with systemd 250 or later, for an unpacked archive of `modelyard bundle` below /opt.

Each bundle has a unit of its own, `modelyard-digits-0123456789ab.service`. Two bundles run side by side for a moment:
the new one takes over the listening socket of the old one (MODELYARD_HANDOVER, serving/start.py), so that replacing a
version refuses no connection. Therefore there is no socket unit.
"""

from __future__ import annotations

from pathlib import Path

from components.deployment.container import API_KEYS_NAME, API_KEYS_VARIABLE, PORT
from components.deployment.resources import ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.deployment.shutdown import DRAIN_SECONDS, MARGIN_SECONDS
from components.deployment.systemd_hardening import ALONE, COMMON, LOOPBACK_ALONE
from components.identity import digest

PROCESSES = 512  # threads count as well
CONFIGURATION = "/etc/modelyard"
HOME = "/opt/modelyard"
READY = "ready.py"


def unit_name(facts: ServiceFacts) -> str:
    """The unit of this bundle."""
    return f"modelyard-{facts.model}-{digest.short(facts.bundle_key)}.service"


def bundle_folder(facts: ServiceFacts) -> str:
    """Where the archive is unpacked; its own folder has this name. `install.sh` in it makes `venv`."""
    return f"{HOME}/{facts.model}-{digest.short(facts.bundle_key)}"


def user_name(facts: ServiceFacts) -> str:
    """The system user of a model's service; Linux allows 31 characters."""
    plain = f"modelyard-{facts.model}"
    return plain if len(plain) <= 31 else f"modelyard-{digest.of_value(facts.model)[:12]}"


def files(facts: ServiceFacts, resources: ServiceResources) -> dict[str, str]:
    """The unit, the program that waits until it is ready, and its user for systemd-sysusers."""
    return {
        unit_name(facts): _service(facts, resources),
        READY: Path(__file__).with_name(READY).read_text(encoding="utf-8"),
        f"modelyard-{facts.model}.conf": f'u {user_name(facts)} - "Model {facts.model} (Modelyard)" - -\n',
    }


def _keys(facts: ServiceFacts) -> str:
    if not facts.asks_for_keys:
        return ""
    return (
        f"LoadCredential={API_KEYS_NAME}:{CONFIGURATION}/{facts.model}/{API_KEYS_NAME}\n"
        f"Environment={API_KEYS_VARIABLE}=%d/{API_KEYS_NAME}\n"
    )


def _service(facts: ServiceFacts, resources: ServiceResources) -> str:
    notes = "".join(f"# {line}\n" for line in resources.notes)
    short = digest.short(facts.bundle_key)
    folder = bundle_folder(facts)
    runtime = f"modelyard-{facts.model}"
    return f"""{notes}# {facts.model} version {facts.version}, bundle {facts.image}
# bundle digest  {facts.bundle_digest}
# package digest {facts.package_digest}
# data digest    {facts.data_digest}

[Unit]
Description=Model {facts.model} version {facts.version}, bundle {short} (Modelyard)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
User={user_name(facts)}
WorkingDirectory={folder}/bento
ExecStart={folder}/venv/bin/python -P src/serving/start.py . --host 127.0.0.1 --port {PORT}
ExecStartPost={folder}/venv/bin/python -P {HOME}/{READY} \\
    http://127.0.0.1:{PORT} {facts.package_digest} {resources.startup_seconds}
Environment=BENTOML_DO_NOT_TRACK=True DO_NOT_TRACK=true ORT_DISABLE_TELEMETRY=1
Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp BENTOML_HOME=/tmp/bentoml
# The socket is handed over to the next bundle here; the folder is shared by the bundles of this model.
Environment=MODELYARD_HANDOVER=/run/{runtime}
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
{_keys(facts)}Restart=on-failure
RestartSec=1
KillMode=mixed
TimeoutStartSec={resources.startup_seconds + MARGIN_SECONDS}
TimeoutStopSec={DRAIN_SECONDS + MARGIN_SECONDS}

# Resources
MemoryHigh={resources.memory_limit_mebibytes}M
MemoryMax={resources.memory_limit_mebibytes + resources.memory_limit_mebibytes // 4}M
TasksMax={PROCESSES}
LimitNOFILE=65536

{COMMON}{ALONE}{LOOPBACK_ALONE}
[Install]
WantedBy=multi-user.target
"""
