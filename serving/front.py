"""Our application before BentoML's: what it answers itself passes through none of BentoML's layers.

Of a small request's time BentoML's layers (traffic metrics, OpenTelemetry, time limit, context) take two thirds. They
stay in front where BENTOML_CONFIG or BENTOML_CONFIG_OPTIONS configures something, such as an exporter of traces; then
our application is one that BentoML mounts.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from _bentoml_sdk.service import Service  # type: ignore[import-untyped]

from components.access.door import Application, Receive, Scope, Send
from serving import door
from serving.app import ModelApp
from serving.lease import READY_PATH

CONFIGURATIONS = ("BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS")


class FrontedService(Service[Any]):  # type: ignore[misc]
    """A BentoML service whose requests reach `application` first.

    Attributes:
        application: ours; answers the paths that it has, all others are BentoML's.
    """

    application: ClassVar[ModelApp] = ModelApp()

    def to_asgi(self, is_main: bool = True) -> Application:
        """BentoML's application behind ours, and both behind the door, if this process has one."""
        theirs: Application = super().to_asgi(is_main)
        if any(os.environ.get(name) for name in CONFIGURATIONS):
            return door.before(Front(self.application, theirs, frozenset({READY_PATH})), self.name)
        return door.before(Front(self.application, theirs), self.name)


class Front:
    """Passes a request to our application if it has the path, else to BentoML's.

    Args:
        paths: only these; None: every path that our application has.
    """

    __slots__ = ("_ours", "_paths", "_theirs")

    def __init__(self, ours: ModelApp, theirs: Application, paths: frozenset[str] | None = None) -> None:
        self._ours, self._theirs, self._paths = ours, theirs, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; start and shutdown are BentoML's."""
        is_ours = scope["type"] == "http" and (self._paths is None or scope["path"] in self._paths)
        if is_ours and self._ours.has(scope["path"]):
            await self._ours(scope, receive, send)
        else:
            await self._theirs(scope, receive, send)
