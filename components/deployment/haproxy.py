"""HAProxy's configuration for a model that several hosts serve.

A host takes requests while its `GET /readyz` answers 200: one that is starting, draining or dead takes none. A
connection that fails is tried again at another host, so that a host may die meanwhile: asking a model changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from components.deployment.shutdown import DRAIN_SECONDS

LeaseOver = Literal["refuse", "unready"]  # as `[serving] lease_over`
CHECK_MS = 500


def configuration(model: str, urls: Mapping[str, str], bind: str, lease_over: LeaseOver | None = None) -> str:
    """The file.

    Args:
        urls: of the hosts' services, http://HOST:PORT, by the host's name.
        bind: the address on which HAProxy listens, as `:8080`.
        lease_over: what a host does whose lease has run out. `refuse`: a request that it refuses is tried again at
            another host. `unready`: where no host is ready, all that live are asked. None: hosts have no leases.
    """
    servers = "".join(f"    server {name} {url.removeprefix('http://')}\n" for name, url in sorted(urls.items()))
    retried = "conn-failure empty-response" + (" 503" if lease_over == "refuse" else "")
    fallback, last_resort = "", ""
    if lease_over == "unready":
        fallback = f"    use_backend {model}-unready if {{ nbsrv({model}) eq 0 }}\n"
        note = "# No host has heard what is in force: all that live answer with what they have."
        last_resort = f"\n{note}\n{_backend(f'{model}-unready', '/livez', servers)}"
    return f"""\
# {model}, served by {len(urls)} hosts; `modelyard hosts {model} --haproxy` writes it anew when they change.
defaults
    mode http
    timeout connect 2s
    timeout client {DRAIN_SECONDS + 5}s
    timeout server {DRAIN_SECONDS + 5}s
    timeout queue 10s
    retries 3
    option http-buffer-request
    retry-on {retried}
    option redispatch 1

frontend {model}
    bind {bind}
{fallback}    default_backend {model}

{_backend(model, "/readyz", servers)}{last_resort}"""


def _backend(name: str, health: str, servers: str) -> str:
    return f"""\
backend {name}
    balance leastconn
    # A service answers under names of its own machine alone, against pages that make a browser ask it (DNS rebinding).
    http-request set-header Host 127.0.0.1
    option httpchk
    http-check send meth GET uri {health} ver HTTP/1.1 hdr Host 127.0.0.1
    http-check expect status 200
    default-server check inter {CHECK_MS} fall 2 rise 2 on-marked-down shutdown-sessions
{servers}"""
