"""A unit of systemd for a host: at boot it starts the supervisor in the host's folder, without logging in.

Without it the controller starts the supervisor by `ssh`. Its processes are then of that session, and a machine whose
logind has `KillUserProcesses=yes` ends them with it.
"""

from __future__ import annotations

import posixpath
import re

from components.deployment.shutdown import DRAIN_SECONDS

MODULE = "flows.serving_targets.host_boot"
START_SECONDS = 60
END_SECONDS = 60  # beside what services answer: the supervisor, and what hangs


def unit_name(host: str) -> str:
    """The unit of a host."""
    return f"modelyard-host-{host}.service"


def unit(host: str, user: str, folder: str, python: str) -> str:
    """The unit.

    Args:
        user: as whom the controller logs in: the owner of the folder.
        folder: the clone on the host; `python`: its interpreter, absolute or relative to the folder.
    """
    run = f"{_word(posixpath.join(folder, python))} -m {MODULE}"
    return f"""\
# The host {host} of Modelyard: install as /etc/systemd/system/{unit_name(host)}, then
# systemctl daemon-reload && systemctl enable --now {unit_name(host)}

[Unit]
Description=Models served by {host} (Modelyard)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
User={user}
WorkingDirectory={_escaped(folder)}
ExecStart={run} start {_word(folder)}
ExecStop={run} stop {_word(folder)}
Restart=on-failure
RestartSec=10
TimeoutStartSec={START_SECONDS}
TimeoutStopSec={DRAIN_SECONDS + END_SECONDS}
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """A word of a command line in a unit."""
    text = _escaped(text).replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./%$+@=-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
