"""The compose service at the address of Prefect: HAProxy before two API servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.deployment.compose import hardened, logging
from components.deployment.container import TEMPORARY_FOLDER
from components.deployment.platform_scripts import PREFECT_PORT
from components.deployment.platform_stores import limits

IMAGE = "haproxy:3.0.11"
CONFIGURATION = "balancer"  # the name of the compose file's config


def configuration(servers: Sequence[str], bind: str) -> str:
    """HAProxy's configuration: an API server that does not answer `/api/health` takes no requests.

    Prefect's clients repeat a request that was cut off; the balancer repeats only what it could not connect for, so
    that nothing is done twice.
    """
    lines = "".join(f"    server api-{number} {server}\n" for number, server in enumerate(servers, 1))
    return f"""\
defaults
    mode http
    timeout connect 2s
    timeout client 5m
    timeout server 5m
    timeout tunnel 24h
    timeout queue 30s
    retries 3
    option redispatch 1

resolvers host
    parse-resolv-conf
    hold valid 5s

frontend prefect
    bind {bind}
    default_backend prefect

backend prefect
    balance leastconn
    option httpchk
    http-check send meth GET uri /api/health
    http-check expect status 200
    default-server check inter 1s fall 2 rise 1 init-addr last,libc,none resolvers host
{lines}"""


def service(after: dict[str, Any]) -> dict[str, Any]:
    """The service.

    Args:
        after: what it depends on.
    """
    probe = (
        f"exec 3<>/dev/tcp/127.0.0.1/{PREFECT_PORT}; printf 'GET /api/health HTTP/1.0\\r\\n\\r\\n' >&3; "
        "head -n 1 <&3 | grep -q ' 200 '"
    )
    return {
        "image": f"${{BALANCER_IMAGE:-{IMAGE}}}",
        **hardened(),
        "tmpfs": [TEMPORARY_FOLDER],
        "configs": [{"source": CONFIGURATION, "target": "/usr/local/etc/haproxy/haproxy.cfg"}],
        "ports": [f"127.0.0.1:{PREFECT_PORT}:{PREFECT_PORT}"],
        "healthcheck": {
            "test": ["CMD", "bash", "-c", probe],
            "interval": "5s",
            "timeout": "5s",
            "retries": 6,
            "start_period": "60s",
        },
        "depends_on": after,
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "deploy": limits("256M", "1"),
        "logging": logging(),
    }
