"""A proxy in front of MLflow and the console that has authenticated who asks (OpenID Connect, ...), and its names.

The proxy says who asks in a header. The header is believed from a request that also holds the secret that the proxy
shares with Modelyard, and from no other one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from components.access import named_credentials, service_account
from components.access import secret as secrets
from components.access.door import Scope
from components.contracts import settings
from components.core.errors import StackError
from components.core.project import Project

SECRET_HEADER = "X-Modelyard-Proxy"  # noqa: S105  # the name of a header
_SECRET_HEADER = SECRET_HEADER.lower().encode()
CREDENTIALS = "MODELYARD_PEOPLE_PROXY"


@dataclass(frozen=True)
class TrustedProxy:
    """What is believed of the proxy.

    Args:
        header: the header with the user's name, in lower case; None: the proxy says no names.
        hosts: the proxy's own names, in lower case, with their ports if those are not the usual ones.
        knows: whether MLflow has a user of that name; it may take its time.
    """

    header: bytes | None
    secret: str
    hosts: frozenset[str]
    knows: Callable[[str], bool]

    def user_named_in(self, scope: Scope) -> str | None:
        """The user whom the proxy names; None where the proxy did not send the request, or names nobody."""
        found = [value for name, value in scope["headers"] if name == _SECRET_HEADER]
        named = [value for name, value in scope["headers"] if name == self.header]
        if self.header is None or len(found) != 1 or len(named) != 1:
            return None
        if not secrets.matches(found[0].decode("latin-1"), self.secret):
            return None
        user = named[0].decode("utf-8", "replace").strip()
        return user if user and user.isprintable() and not service_account.is_name(user) else None

    def without_its_headers(self, scope: Scope) -> Scope:
        """The request as the application gets it."""
        kept = [pair for pair in scope["headers"] if pair[0] not in (_SECRET_HEADER, self.header)]
        return {**scope, "headers": kept}

    def as_local(self, scope: Scope) -> Scope:
        """A request for one of the proxy's names as one for this server; pages of other origins stay foreign."""
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
        if host not in self.hosts or not scope.get("server"):
            return scope
        local = f"127.0.0.1:{scope['server'][1]}"
        changed = {b"host": local.encode()}
        origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1").lower()
        if origin == f"https://{host}":
            changed[b"origin"] = f"http://{local}".encode()
        return {**scope, "headers": [(name, changed.get(name, value)) for name, value in scope["headers"]]}


def of(project: Project, knows: Callable[[str], bool]) -> TrustedProxy | None:
    """The proxy that `[people]` of `modelyard.toml` describes; None: there is none.

    Raises:
        SpecError, StackError: `modelyard.toml` is wrong, or the secret cannot be read.
    """
    found = settings.read(project.root).people
    if found.header is None and not found.hosts:
        return None
    secret = ""
    if found.header is not None:
        known = named_credentials.read(project.root, "people", found.proxy_secret, CREDENTIALS)
        secret = known.secret if known is not None else ""
        if len(secret) < secrets.BYTES:
            raise StackError(
                "the secret that the proxy shares is too short",
                where=f"{settings.FILE_NAME}, people.proxy_secret",
                got=f"{len(secret)} characters",
                expected=f"at least {secrets.BYTES}, and no colon",
                next_step="make one, such as by `openssl rand -hex 32`, for the proxy and for Modelyard",
            )
    hosts = frozenset(host.lower() for host in found.hosts)
    return TrustedProxy(found.header.lower().encode() if found.header else None, secret, hosts, knows)
